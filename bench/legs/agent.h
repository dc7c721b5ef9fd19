// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "load.h"

namespace tombolo::bench {

// The agent's end of one leg.
struct AgentLeg {
  Fd application;
  Fd next;                                 // with Onward::kNext
  volatile std::uint64_t* read = nullptr;  // Redirect::ReadCounter
};

// Receives and passes on as the agent's relay does: one batch thread, edges, at most 16 steps at
// a time for one connection, 128 KiB in a read or 64 KiB in a pipe. Ends when every
// application has ended and been told so; says `ready` before it waits for the first byte.
absl::StatusOr<Usage> RunAgent(std::vector<AgentLeg> legs, Way way, const Load& load,
                               absl::FunctionRef<void()> ready);

// The receiver behind the agent: discards without a copy, and closes at each stream's end.
absl::StatusOr<Usage> RunSink(std::vector<Fd> sockets, absl::FunctionRef<void()> ready);

}  // namespace tombolo::bench
