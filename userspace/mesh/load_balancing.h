// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tombolo::mesh {

// How the connections to one service are spread over the clusters that serve it. The
// terms are Envoy's (priorities, panic threshold, overprovisioning).
struct LoadBalancing {
  // What makes a tier. Within one, all endpoints are equal but for their weights.
  enum class Order {
    kLocal,     // the own cluster; all others
    kLocality,  // the own zone; the own cluster; the own region; all others
    kLatency,   // the own cluster; others by measured round trip, those alike together
    kNone,      // one tier
  };
  Order order = Order::kLocal;
  // In place of `order`, if not empty: the first tier's clusters, the second's, ... A
  // cluster that is in none of them gets nothing.
  std::vector<std::vector<std::string>> tiers{};
  // A cluster's share of its tier, against the others'. Clusters that are not named have
  // 1 each. Empty: clusters do not matter, only endpoints do.
  std::vector<std::pair<std::string, std::uint32_t>> cluster_weights{};
  // Percent of a tier's endpoints that must be in use (ready and not ejected) for it to
  // take everything. Below, the next tier takes part in proportion.
  std::uint32_t overflow_below = 70;
  // Percent of all endpoints: when fewer are in use, ejections no longer count.
  std::uint32_t panic_below = 30;
  // Connections of one source address go to the same endpoint while that is in use.
  enum class Affinity { kNone, kSource };
  Affinity affinity = Affinity::kNone;

  friend bool operator==(const LoadBalancing&, const LoadBalancing&) = default;
};

}  // namespace tombolo::mesh
