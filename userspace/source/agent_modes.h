// SPDX-License-Identifier: Apache-2.0
// What of an agent's configuration is one of a few words. Errors name the words that there are.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tombolo::source {

// What the process is: a node's agent, or one that takes tunnels across its cluster's edge.
enum class Role { kNode, kGateway };

// Where the records of tunnels are sealed and opened.
enum class RelayMode {
  kAuto,    // in the kernel where the self-test at start has seen that work
  kKernel,  // there, or the agent does not start
  kUser,
};

// Which bulk goes through pipes (splice) instead of this process, where the kernel makes the
// records: what applications send, what they receive.
enum class SpliceMode { kAuto, kNone, kSend, kReceive, kBoth };

// "node" or "gateway".
absl::StatusOr<Role> ParseRole(absl::string_view text);
absl::string_view Name(Role role);

// "auto", "kernel" or "user".
absl::StatusOr<RelayMode> ParseRelayMode(absl::string_view text);
absl::string_view Name(RelayMode mode);
// "auto", "none", "send", "receive" or "both".
absl::StatusOr<SpliceMode> ParseSpliceMode(absl::string_view text);
absl::string_view Name(SpliceMode mode);

}  // namespace tombolo::source
