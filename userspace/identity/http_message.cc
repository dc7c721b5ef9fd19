// SPDX-License-Identifier: Apache-2.0
#include "identity/http_message.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace tombolo::identity {
namespace {

constexpr std::size_t kMaxQuoted = 200;
constexpr std::uint32_t kMaxSeconds = 24 * 3600;  // of Retry-After

// The first line, if it is text: it goes to logs.
std::string FirstLine(absl::string_view body) {
  const absl::string_view line = body.substr(0, std::min(body.find('\n'), kMaxQuoted));
  std::string text(absl::StripAsciiWhitespace(line));
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text;
}

absl::StatusCode CodeOf(unsigned status) {
  switch (status) {
    case 400:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 408:
    case 429:
      return absl::StatusCode::kUnavailable;
    default:
      return status >= 500 ? absl::StatusCode::kUnavailable : absl::StatusCode::kFailedPrecondition;
  }
}

}  // namespace

absl::Status ToStatus(const HttpAnswer& answer) {
  if ((answer.status >= 200 && answer.status < 300) || answer.status == 304) {
    return absl::OkStatus();
  }
  const std::string why = FirstLine(answer.body);
  return {CodeOf(answer.status),
          absl::StrCat("status ", answer.status, why.empty() ? "" : ": ", why)};
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
}

Duration RestWanted(const HttpAnswer& answer, WallTime now, Duration fallback) {
  std::uint32_t seconds = 0;
  const bool digits =
      !answer.retry_after.empty() &&
      std::all_of(answer.retry_after.begin(), answer.retry_after.end(), absl::ascii_isdigit);
  if (digits) {
    if (!absl::SimpleAtoi(answer.retry_after, &seconds)) seconds = kMaxSeconds;
    return std::chrono::seconds(std::min(seconds, kMaxSeconds));
  }
  absl::Time date;
  if (!absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", answer.retry_after, &date, nullptr)) {
    return fallback;
  }
  const Duration left = absl::ToChronoNanoseconds(date - absl::FromChrono(now));
  return std::clamp<Duration>(left, Duration::zero(), std::chrono::seconds(kMaxSeconds));
}

bool HasType(const HttpAnswer& answer, absl::string_view type) {
  const absl::string_view whole(answer.content_type);
  return absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(whole.substr(0, whole.find(';'))), type);
}

}  // namespace tombolo::identity
