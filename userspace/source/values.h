// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

// The texts that configuration values are made of. Every error quotes the value
// and says what would be right: "'70000' is not a port (1 to 65535)".
namespace tombolo::source {

absl::Status BadValue(absl::string_view value, absl::string_view why);

absl::StatusOr<std::string> ParseText(absl::string_view text);  // anything but ""
absl::StatusOr<bool> ParseBool(absl::string_view text);         // true, false
absl::StatusOr<std::uint32_t> ParseNumber(absl::string_view text, std::uint32_t min,
                                          std::uint32_t max);
absl::StatusOr<std::uint16_t> ParsePort(absl::string_view text);  // 1 to 65535
// 500ms, 10s, 2m, 1h; at most 24h. A deadline is also more than nothing.
absl::StatusOr<Duration> ParseDuration(absl::string_view text);
absl::StatusOr<Duration> ParseDeadline(absl::string_view text);
// RFC 3339, like 2026-01-31T12:00:00Z.
absl::StatusOr<WallTime> ParseTime(absl::string_view text);
std::string FormatTime(WallTime time);  // in UTC, to the second
// RFC 1123: [a-z0-9-], begins and ends with a letter or digit, up to 63 bytes.
absl::StatusOr<std::string> ParseLabel(absl::string_view text);
// A path that begins with '/' and has no empty, "." or ".." part, so that equal
// paths are equal texts and none leads out of its root.
absl::StatusOr<std::string> ParseAbsolutePath(absl::string_view text);

// "; did you mean 'port'?" when one of `known` is like `word`, otherwise "".
std::string DidYouMean(absl::string_view word, const std::vector<absl::string_view>& known);

}  // namespace tombolo::source
