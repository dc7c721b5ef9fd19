// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

namespace tombolo::ca::https {

// A response before it is one. Its fields are ours: nothing in them comes from a request.
struct Answer {
  unsigned status = 200;
  absl::string_view content_type{};           // a constant
  std::shared_ptr<const std::string> body{};  // null: none. Many answers may share one
  std::vector<std::pair<absl::string_view, std::string>> fields{};
  std::string reason{};  // of a refusal, for the log
};

Answer Document(absl::string_view content_type, std::shared_ptr<const std::string> body);

// One line of text: `why`, shortened and in printable ASCII.
Answer Refuse(unsigned status, absl::string_view why);

// What became of an enrolment that failed: InvalidArgument 400, Unauthenticated 401,
// PermissionDenied 403, NotFound 404, ResourceExhausted 429; Unavailable, Unknown and
// DeadlineExceeded 503; everything else 500. The client hears the message of the first four.
Answer RefuseFor(const absl::Status& status);

// Everything of a response that comes before its body.
std::string HeadOf(const Answer& answer, WallTime now, bool keep_alive);

}  // namespace tombolo::ca::https
