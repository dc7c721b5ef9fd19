// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "base/time.h"

namespace tombolo::cli {

// The agent answers within 5 s, or says why not.
inline constexpr Duration kAgentTimeout = std::chrono::seconds(10);

// Asks the agent that listens on the Unix socket `socket_path` for GET `path`,
// and waits for the whole answer, no longer than `timeout`. The body of a 200,
// or a Status for a person: what failed, why that usually is, and what to do.
absl::StatusOr<std::string> Get(const std::string& socket_path, const std::string& path,
                                Duration timeout);

}  // namespace tombolo::cli
