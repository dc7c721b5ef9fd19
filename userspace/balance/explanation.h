// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "balance/choice.h"
#include "balance/plan.h"
#include "base/time.h"

// What a balancer tells of a choice that it would make: plain values.
namespace tombolo::balance {

// What one cluster has in a tier. Counts are of ip:ports.
struct ClusterStanding {
  std::string name;
  std::uint64_t all = 0;
  std::uint64_t ready = 0;
  std::uint64_t in_use = 0;  // ready, and not left out because it was ejected
  std::uint32_t weight = 1;  // the cluster's
  bool draining = false;
  bool ejected = false;    // the whole of it: by itself, or all its gateways
  Duration ejected_for{};  // what is left before a trial
  std::optional<Duration> round_trip{};
};

struct TierStanding {
  std::size_t tier = 0;  // as in Why
  absl::string_view name;
  double share = 0;  // of new connections; 0 also of all draining ones that are not needed
  std::vector<ClusterStanding> clusters{};
};

struct Explanation {
  std::vector<TierStanding> tiers{};  // of draining clusters last
  bool panic = false;
  // Where a connection would go now, and where next: each as if the ways of those before it had
  // failed. Empty: nothing is ready.
  std::vector<Choice> choices{};
};

// How the tiers stand.
std::vector<TierStanding> Standing(const Plan& plan, MonotonicTime now);

}  // namespace tombolo::balance
