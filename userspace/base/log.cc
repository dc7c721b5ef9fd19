// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <memory>
#include <vector>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "absl/types/span.h"

namespace tombolo::log {
namespace {

Format g_format = Format::kText;

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger> MakeLogger(Format format) {
  auto logger = std::make_shared<spdlog::logger>("tombolo",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  const char* pattern = format == Format::kText
                            ? "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v"
                            : R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";
  logger->set_pattern(pattern, spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::debug);
  return logger;
}

std::shared_ptr<spdlog::logger>& Logger() {
  static std::shared_ptr<spdlog::logger> logger = MakeLogger(Format::kText);
  return logger;
}

std::string Quoted(absl::string_view text) {
  return boost::json::serialize(boost::json::value(boost::json::string(text.data(), text.size())));
}

bool NeedsQuotes(absl::string_view value) {
  if (value.empty()) return true;
  for (const unsigned char c : value) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) return true;
  }
  return false;
}

std::string Line(absl::string_view event, absl::Span<const Field> fields) {
  if (g_format == Format::kJson) {
    std::string line = absl::StrCat("\"event\":", Quoted(event));
    for (const Field& field : fields) {
      absl::StrAppend(&line, ",", Quoted(field.key), ":", Quoted(field.value));
    }
    return line;
  }
  std::string line(event);
  const char* separator = "  ";
  for (const Field& field : fields) {
    absl::StrAppend(&line, separator, field.key, "=",
                    NeedsQuotes(field.value) ? Quoted(field.value) : field.value);
    separator = " ";
  }
  return line;
}

}  // namespace

void SetUp(Level level, Format format) {
  g_format = format;
  Logger() = MakeLogger(format);
  Logger()->set_level(ToSpdlog(level));
}

void SetLevel(Level level) { Logger()->set_level(ToSpdlog(level)); }

bool Enabled(Level level) { return Logger()->should_log(ToSpdlog(level)); }

void Write(Level level, absl::string_view event, Fields fields, std::uint64_t suppressed) {
  if (!Enabled(level)) return;
  std::vector<Field> all(fields);
  if (suppressed > 0) all.emplace_back("suppressed", suppressed);
  Logger()->log(ToSpdlog(level), "{}", Line(event, all));
}

}  // namespace tombolo::log
