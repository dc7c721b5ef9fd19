// SPDX-License-Identifier: Apache-2.0
#include "base/errno_status.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tombolo {
namespace {

constexpr absl::string_view kErrnoPayload = "tombolo/errno";

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case ECONNRESET:
    case ECONNREFUSED:
    case EPIPE:
      return absl::StatusCode::kUnavailable;
    case ETIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return absl::ErrnoToStatusCode(error);
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  absl::Status status(CodeOf(error), absl::StrCat(what, ": ", strerrordesc_np(error)));
  status.SetPayload(kErrnoPayload, absl::Cord(absl::StrCat(error)));
  return status;
}

int ErrnoOf(const absl::Status& status) {
  int error = 0;
  if (auto payload = status.GetPayload(kErrnoPayload)) {
    (void)absl::SimpleAtoi(std::string(*payload), &error);
  }
  return error;
}

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

}  // namespace tombolo
