// SPDX-License-Identifier: Apache-2.0
#include "tls/record_limits.h"

#include "absl/strings/str_cat.h"

namespace tombolo::tls {

absl::Status CheckControlSize(std::size_t size) {
  if (size <= kMaxControl) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("control message of ", size, " bytes"));
}

absl::Status ControlQueueFull() {
  return absl::UnavailableError(
      "the peer does not read: 64 KiB of control messages wait to be sent");
}

absl::Status SendBudgetUsedUp() {
  return absl::ResourceExhaustedError("2^24 records have been sent with this key");
}

}  // namespace tombolo::tls
