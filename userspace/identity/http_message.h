// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

// What is said to the authority and what it answers, without the connection that carries it.
namespace tombolo::identity {

struct HttpRequest {
  std::string target;  // begins with '/'
  std::vector<std::pair<std::string, std::string>> headers{};
  std::optional<std::string> body{};   // set: a POST
  std::size_t max_answer = 64 * 1024;  // bytes of its body
};

struct HttpAnswer {
  unsigned status = 0;
  std::string content_type, retry_after;
  std::string body;
};

// OK for 2xx and 304. The code says what the caller should do: Unavailable for 429 and what goes
// wrong over there (try again, or elsewhere), Unauthenticated (401) and PermissionDenied (403) when
// the credential is not good for this, InvalidArgument (400) and FailedPrecondition when asking
// again will not help. The message has the first line of the answer.
absl::Status ToStatus(const HttpAnswer& answer);

// Whether an EstClient's error says that the authority has looked at the credential and does not
// want it for this: 401 or 403, and nothing else.
bool IsRefusal(const absl::Status& status);

// What Retry-After asks for: seconds, or a date (RFC 9110, section 10.2.3); `fallback` when it is
// neither.
Duration RestWanted(const HttpAnswer& answer, WallTime now, Duration fallback);

// Whether the answer has this media type, whatever its parameters.
bool HasType(const HttpAnswer& answer, absl::string_view type);

}  // namespace tombolo::identity
