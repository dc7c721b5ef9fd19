// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/time.h"
#include "mesh/load_balancing.h"

// Which tier what is in: pure.
namespace tombolo::balance {

// What a cluster's tier depends on.
struct ClusterFacts {
  absl::string_view name;
  bool is_own = false;
  bool in_own_region = false;            // which is known
  std::optional<Duration> round_trip{};  // none: not known
};

struct Tiers {
  std::vector<absl::string_view> names{};  // literals, one a tier
  // In the order of the clusters; none: gets nothing.
  std::vector<std::optional<std::size_t>> of_cluster{};
  // Of the own cluster's endpoints in the own zone, if not that of their cluster.
  std::optional<std::size_t> own_zone{};
};

// By explicit tiers, or by the order. By latency, clusters that are at most half as far again or
// five milliseconds further than the nearest of a tier are in it; one whose round trip is not
// known is with the nearest, so that it becomes known.
Tiers MakeTiers(const mesh::LoadBalancing& balancing, absl::Span<const ClusterFacts> clusters,
                bool zone_is_known);

}  // namespace tombolo::balance
