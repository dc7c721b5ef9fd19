// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "enrol/agents.h"
#include "latency_histogram.h"

namespace tombolo::bench {

struct LoopOptions {
  std::size_t workers = 1;  // each asks again when it has its answer
  bool keep = false;        // its connection; else a new one for each request
  Duration duration{};
  std::function<void()> prepared = [] {};  // called when everything is there, before the clock
};

struct LoopResult {
  LatencyHistogram latency;  // of a request, with its connection when that is new
  Duration elapsed{};
};

// Certificates one after another, as fast as the authority gives them. Ends early when all tokens
// are spent. The first request that fails ends everything and is the error.
absl::StatusOr<LoopResult> RunLoop(const Agents& agents, const LoopOptions& options);

}  // namespace tombolo::bench
