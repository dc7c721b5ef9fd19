// SPDX-License-Identifier: Apache-2.0
#include "source/agent_modes.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tombolo::source {

absl::StatusOr<Role> ParseRole(absl::string_view text) {
  for (const Role role : {Role::kNode, Role::kGateway}) {
    if (text == Name(role)) return role;
  }
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not node or gateway"));
}

absl::string_view Name(Role role) { return role == Role::kGateway ? "gateway" : "node"; }

absl::StatusOr<RelayMode> ParseRelayMode(absl::string_view text) {
  for (const RelayMode mode : {RelayMode::kAuto, RelayMode::kKernel, RelayMode::kUser}) {
    if (text == Name(mode)) return mode;
  }
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not auto, kernel or user"));
}

absl::string_view Name(RelayMode mode) {
  switch (mode) {
    case RelayMode::kAuto:
      return "auto";
    case RelayMode::kKernel:
      return "kernel";
    case RelayMode::kUser:
      return "user";
  }
  return "unknown";
}

absl::StatusOr<SpliceMode> ParseSpliceMode(absl::string_view text) {
  for (const SpliceMode mode : {SpliceMode::kAuto, SpliceMode::kNone, SpliceMode::kSend,
                                SpliceMode::kReceive, SpliceMode::kBoth}) {
    if (text == Name(mode)) return mode;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is not auto, none, send, receive or both"));
}

absl::string_view Name(SpliceMode mode) {
  switch (mode) {
    case SpliceMode::kAuto:
      return "auto";
    case SpliceMode::kNone:
      return "none";
    case SpliceMode::kSend:
      return "send";
    case SpliceMode::kReceive:
      return "receive";
    case SpliceMode::kBoth:
      return "both";
  }
  return "unknown";
}

}  // namespace tombolo::source
