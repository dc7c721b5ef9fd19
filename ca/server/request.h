// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// What a request says, read by pure functions: strangers write it.
namespace tombolo::ca::https {

enum class Resource { kCaCerts, kCsrAttrs, kEnroll, kReenroll, kBundle, kTrust, kCrl };
inline constexpr std::size_t kResources = 7;
absl::string_view Name(Resource resource);  // "cacerts", for logs and metrics

struct Target {
  Resource resource;
  std::string key;  // of kCrl: 64 hexadecimal digits in lower case
};

// The paths of docs/authority.md as they are written there: no query, no escapes, no other form of
// a request's target.
std::optional<Target> ParseTarget(absl::string_view target);

// The token of an Authorization field: Bearer (RFC 6750), or the password of Basic (RFC 7617).
// Visible ASCII, not empty. InvalidArgument when it is malformed, Unauthenticated when it is of
// another scheme or an empty password.
absl::StatusOr<std::string> ParseAuthorization(absl::string_view value);

// Whether a Content-Type is `wanted` (lower case), with whatever parameters.
bool IsMediaType(absl::string_view content_type, absl::string_view wanted);

// The wait of a Prefer field (RFC 7240, section 4.3).
std::optional<std::chrono::seconds> ParsePreferredWait(absl::string_view prefer);

// The number in an If-None-Match of one tag, "12" or W/"12": others are none of ours.
std::optional<std::uint64_t> ParseSequenceTag(absl::string_view tags);

// More than this cannot be a certificate request, however much white space is in it.
inline constexpr std::size_t kMaxBodySize = 43 * 1024;

// The DER in the body of an enrolment. OutOfRange: larger than tls::kMaxCsrSize. InvalidArgument:
// not base64.
absl::StatusOr<std::string> DecodeEnrolBody(absl::string_view body);

}  // namespace tombolo::ca::https
