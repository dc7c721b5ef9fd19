// SPDX-License-Identifier: Apache-2.0
#include "server/answer.h"

#include <boost/beast/http/status.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tls/digest.h"

namespace tombolo::ca::https {
namespace {

namespace http = boost::beast::http;

constexpr std::size_t kLongestReason = 512;
constexpr unsigned kUnauthorized = 401;
constexpr unsigned kTooManyRequests = 429;
constexpr unsigned kInternalError = 500;
constexpr unsigned kUnavailable = 503;
constexpr unsigned kNotModified = 304;

std::string OneLine(absl::string_view text) {
  std::string line(text.substr(0, kLongestReason));
  for (char& c : line) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return line;
}

// Seconds from `least` on: not everybody who was refused together may come back together.
std::string RetryAfter(unsigned least, unsigned spread) {
  return absl::StrCat(least + tls::Random128()[0] % spread);
}

unsigned StatusFor(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return kUnauthorized;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kResourceExhausted:
      return kTooManyRequests;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDeadlineExceeded:
      return kUnavailable;
    default:
      return kInternalError;
  }
}

std::string HttpDate(WallTime now) {
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::FromChrono(now), absl::UTCTimeZone());
}

}  // namespace

Answer Document(absl::string_view content_type, std::shared_ptr<const std::string> body) {
  return {.content_type = content_type,
          .body = std::move(body),
          .fields = {{"Cache-Control", "no-cache"}}};
}

Answer Refuse(unsigned status, absl::string_view why) {
  const std::string line = OneLine(why);
  Answer answer{.status = status,
                .content_type = "text/plain; charset=utf-8",
                .body = std::make_shared<const std::string>(line + "\n"),
                .fields = {{"Cache-Control", "no-store"}},
                .reason = line};
  if (status == kUnauthorized) {
    answer.fields.emplace_back("WWW-Authenticate", "Basic realm=\"tombolo-ca\"");
    answer.fields.emplace_back("WWW-Authenticate", "Bearer realm=\"tombolo-ca\"");
  }
  if (status == kTooManyRequests) answer.fields.emplace_back("Retry-After", RetryAfter(1, 5));
  if (status == kUnavailable) answer.fields.emplace_back("Retry-After", RetryAfter(2, 10));
  return answer;
}

Answer RefuseFor(const absl::Status& status) {
  const unsigned http_status = StatusFor(status.code());
  absl::string_view said = status.message();
  // What fails inside is nobody's business outside.
  if (http_status == kTooManyRequests) said = "too much to do, try again later";
  if (http_status == kInternalError) said = "internal error";
  if (http_status == kUnavailable) said = "not available now, try again later";
  Answer answer = Refuse(http_status, said);
  answer.reason = status.ToString();
  return answer;
}

std::string HeadOf(const Answer& answer, WallTime now, bool keep_alive) {
  const auto phrase = http::obsolete_reason(http::int_to_status(answer.status));
  std::string head =
      absl::StrCat("HTTP/1.1 ", answer.status, " ", absl::string_view(phrase.data(), phrase.size()),
                   "\r\nDate: ", HttpDate(now), "\r\n");
  for (const auto& [name, value] : answer.fields) absl::StrAppend(&head, name, ": ", value, "\r\n");
  if (answer.body != nullptr) {
    absl::StrAppend(&head, "Content-Type: ", answer.content_type, "\r\n");
  }
  if (answer.status != kNotModified) {
    const std::size_t size = answer.body == nullptr ? 0 : answer.body->size();
    absl::StrAppend(&head, "Content-Length: ", size, "\r\n");
  }
  absl::StrAppend(&head, keep_alive ? "" : "Connection: close\r\n", "\r\n");
  return head;
}

}  // namespace tombolo::ca::https
