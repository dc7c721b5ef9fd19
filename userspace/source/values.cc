// SPDX-License-Identifier: Apache-2.0
#include "source/values.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/status_macros.h"

namespace tombolo::source {
namespace {

constexpr std::size_t kMaxQuoted = 200;
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxDigits = 10;
constexpr std::size_t kMaxComparedWord = 64;
constexpr std::int64_t kLatestSecond = 4102444800;  // the year 2100: every clock can say it
constexpr Duration kLongestDuration = std::chrono::hours(24);

// SimpleAtoi also takes signs and spaces. A leading zero means octal to some YAML
// readers, so it is refused.
bool ParseDigits(absl::string_view text, std::uint64_t& out) {
  if (text.empty() || text.size() > kMaxDigits) return false;
  if (text.size() > 1 && text.front() == '0') return false;
  return std::all_of(text.begin(), text.end(), absl::ascii_isdigit) && absl::SimpleAtoi(text, &out);
}

// How many letters were added, dropped, changed, or swapped with their neighbour
// (Damerau and Levenshtein, optimal string alignment). row[i] belongs to a[0, i).
std::size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<std::size_t>> row(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  std::iota(row[0].begin(), row[0].end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[i][0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = row[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[i][j] = std::min({changed, row[i - 1][j] + 1, row[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[i][j] = std::min(row[i][j], row[i - 2][j - 2] + 1);
      }
    }
  }
  return row.back().back();
}

}  // namespace

absl::Status BadValue(absl::string_view value, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("'", value.substr(0, kMaxQuoted), "' ", why));
}

absl::StatusOr<std::string> ParseText(absl::string_view text) {
  if (text.empty()) return BadValue(text, "is empty");
  return std::string(text);
}

absl::StatusOr<bool> ParseBool(absl::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return BadValue(text, "is not true or false");
}

absl::StatusOr<std::uint32_t> ParseNumber(absl::string_view text, std::uint32_t min,
                                          std::uint32_t max) {
  std::uint64_t number = 0;
  if (!ParseDigits(text, number) || number < min || number > max) {
    return BadValue(text, absl::StrCat("is not a number from ", min, " to ", max));
  }
  return static_cast<std::uint32_t>(number);
}

absl::StatusOr<std::uint16_t> ParsePort(absl::string_view text) {
  std::uint64_t number = 0;
  if (!ParseDigits(text, number) || number < 1 || number > 65535) {
    return BadValue(text, "is not a port (1 to 65535)");
  }
  return static_cast<std::uint16_t>(number);
}

absl::StatusOr<Duration> ParseDuration(absl::string_view text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const absl::string_view unit = text.substr(digits);
  std::chrono::milliseconds one{};
  if (unit == "ms") one = std::chrono::milliseconds(1);
  if (unit == "s") one = std::chrono::seconds(1);
  if (unit == "m") one = std::chrono::minutes(1);
  if (unit == "h") one = std::chrono::hours(1);
  std::uint64_t number = 0;
  if (one.count() == 0 || !ParseDigits(text.substr(0, digits), number)) {
    return BadValue(text, "is not a duration like 500ms, 10s, 2m or 1h");
  }
  if (number > static_cast<std::uint64_t>(kLongestDuration / one)) {
    return BadValue(text, "is longer than 24h");
  }
  return one * static_cast<std::int64_t>(number);
}

absl::StatusOr<Duration> ParseDeadline(absl::string_view text) {
  ASSIGN_OR_RETURN(const Duration duration, ParseDuration(text));
  if (duration == Duration::zero()) return BadValue(text, "leaves no time at all");
  return duration;
}

absl::StatusOr<WallTime> ParseTime(absl::string_view text) {
  absl::Time time;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, nullptr) || time <= absl::UnixEpoch() ||
      time > absl::FromUnixSeconds(kLatestSecond)) {
    return BadValue(text, "is not a time like 2026-01-31T12:00:00Z");
  }
  return absl::ToChronoTime(time);
}

std::string FormatTime(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

absl::StatusOr<std::string> ParseLabel(absl::string_view text) {
  const auto is_alnum = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); };
  const bool right =
      !text.empty() && text.size() <= kMaxLabel && is_alnum(text.front()) &&
      is_alnum(text.back()) &&
      std::all_of(text.begin(), text.end(), [&](char c) { return is_alnum(c) || c == '-'; });
  if (!right) {
    return BadValue(text,
                    "is not a name of up to 63 letters a-z, digits and '-' that begins and ends "
                    "with a letter or digit");
  }
  return std::string(text);
}

absl::StatusOr<std::string> ParseAbsolutePath(absl::string_view text) {
  if (text.empty() || text.front() != '/') return BadValue(text, "does not begin with '/'");
  if (text == "/") return std::string(text);
  for (const absl::string_view part : absl::StrSplit(text.substr(1), '/')) {
    if (part.empty() || part == "." || part == "..") {
      return BadValue(text, "has an empty part, or one that is '.' or '..'");
    }
  }
  return std::string(text);
}

std::string DidYouMean(absl::string_view word, const std::vector<absl::string_view>& known) {
  if (word.size() > kMaxComparedWord) return "";
  // About one letter in three may be wrong.
  std::size_t best_distance = std::max<std::size_t>(word.size() / 3, 1) + 1;
  absl::string_view best;
  for (const absl::string_view candidate : known) {
    if (candidate.size() > kMaxComparedWord) continue;
    const std::size_t distance = Distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best.empty() ? "" : absl::StrCat("; did you mean '", best, "'?");
}

}  // namespace tombolo::source
