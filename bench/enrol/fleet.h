// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "enrol/agents.h"
#include "latency_histogram.h"

namespace tombolo::bench {

struct FleetOptions {
  Duration window{};  // over which the agents are due, evenly; zero: all at once
  Duration give_up = std::chrono::minutes(10);  // after the last one was due
  std::function<void()> prepared = [] {};       // called before the clock
};

struct FleetResult {
  LatencyHistogram request;  // the attempt that succeeded, with its connection
  LatencyHistogram served;   // from when an agent was due until it had its certificate
  std::uint64_t retries = 0;
  Duration elapsed{};  // until all were served
};

// Agents that renew once each, as tombolo-agent does: its deadlines, its retries, its regard for
// Retry-After, its connection kept for as long. DeadlineExceeded when some were never served.
absl::StatusOr<FleetResult> RunFleet(const Agents& agents, const FleetOptions& options);

}  // namespace tombolo::bench
