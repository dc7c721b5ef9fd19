// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "agent.h"
#include "load.h"

namespace tombolo::bench {

// The agent's part when the kernel moves the bytes (Way::kVerdict): it waits for each stream's end,
// which nobody else passes on, then until everything before it has been sent on, and passes on the
// end. DeadlineExceeded: bytes were received, and not sent on within ten seconds.
absl::StatusOr<Usage> RunWatcher(std::vector<AgentLeg> legs, absl::FunctionRef<void()> ready);

}  // namespace tombolo::bench
