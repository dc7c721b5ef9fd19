// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

// Structured logs on standard error, one event a line:
//
//   2026-01-31T12:00:00.123Z info  tunnel refused  peer=10.0.0.1:4242
//   reason="certificate has expired"
//
// Only programs and the top of a task log above debug; a library returns its
// Status. Any thread may log. Secrets and application bytes are never logged.
namespace tombolo::log {

enum class Level { kDebug, kInfo, kWarning, kError };

struct Field {
  Field(absl::string_view key, absl::string_view value) : key(key), value(value) {}
  Field(absl::string_view key, const char* value) : key(key), value(value) {}
  Field(absl::string_view key, const std::string& value) : key(key), value(value) {}
  Field(absl::string_view key, const absl::Status& status) : key(key), value(status.message()) {}
  Field(absl::string_view key, std::integral auto value) : key(key), value(absl::StrCat(value)) {}
  Field(absl::string_view key, bool value) : key(key), value(value ? "true" : "false") {}

  absl::string_view key;
  std::string value;
};
using Fields = std::initializer_list<Field>;

enum class Format { kText, kJson };

// Call once, before threads; until then kInfo as text.
void SetUp(Level level, Format format);
// Any time, any thread.
void SetLevel(Level level);
bool Enabled(Level level);

// `suppressed` lines of this kind were left out before it (base/rate_limited_log.h).
void Write(Level level, absl::string_view event, Fields fields = {}, std::uint64_t suppressed = 0);
inline void Debug(absl::string_view event, Fields fields = {}) {
  if (Enabled(Level::kDebug)) Write(Level::kDebug, event, fields);
}
inline void Info(absl::string_view event, Fields fields = {}) {
  Write(Level::kInfo, event, fields);
}
inline void Warning(absl::string_view event, Fields fields = {}) {
  Write(Level::kWarning, event, fields);
}
inline void Error(absl::string_view event, Fields fields = {}) {
  Write(Level::kError, event, fields);
}

}  // namespace tombolo::log
