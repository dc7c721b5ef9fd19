// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tombolo {

// Turns an errno value into a Status whose message reads "<what>: <strerror>".
// The code says what the caller should do: EAGAIN, ECONNREFUSED, EHOSTUNREACH
// and their like are Unavailable (try again or elsewhere), EACCES and EPERM
// PermissionDenied, ETIMEDOUT DeadlineExceeded. ErrnoOf() gives the errno back.
absl::Status ErrnoStatus(int error, absl::string_view what);

// The errno that ErrnoStatus() put into `status`; 0 when it carries none.
int ErrnoOf(const absl::Status& status);

// The same status with "<context>: " before its message.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

}  // namespace tombolo
