// SPDX-License-Identifier: Apache-2.0
#include "balance/tiers.h"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace tombolo::balance {
namespace {

using Order = mesh::LoadBalancing::Order;

constexpr Duration kAlike = std::chrono::milliseconds(5);

bool Alike(Duration nearest, Duration other) {
  return other <= std::max(nearest + nearest / 2, nearest + kAlike);
}

Tiers Explicit(const mesh::LoadBalancing& balancing, absl::Span<const ClusterFacts> clusters) {
  Tiers tiers;
  tiers.names.assign(balancing.tiers.size(), "configured");
  for (const ClusterFacts& cluster : clusters) {
    std::optional<std::size_t> of;
    for (std::size_t i = 0; i < balancing.tiers.size() && !of; ++i) {
      const auto& names = balancing.tiers[i];
      if (std::find(names.begin(), names.end(), cluster.name) != names.end()) of = i;
    }
    tiers.of_cluster.push_back(of);
  }
  return tiers;
}

Tiers ByLocality(absl::Span<const ClusterFacts> clusters, bool zone_is_known) {
  Tiers tiers;
  if (zone_is_known) {
    tiers.own_zone = 0;
    tiers.names.push_back("own zone");
  }
  const std::size_t own = tiers.names.size();
  tiers.names.insert(tiers.names.end(), {"own cluster", "own region", "other clusters"});
  for (const ClusterFacts& cluster : clusters) {
    const std::size_t beyond = cluster.in_own_region ? 1 : 2;
    tiers.of_cluster.push_back(own + (cluster.is_own ? 0 : beyond));
  }
  return tiers;
}

Tiers ByLatency(absl::Span<const ClusterFacts> clusters) {
  Tiers tiers{.names = {"own cluster", "nearest clusters"}};
  tiers.of_cluster.assign(clusters.size(), 1);
  std::vector<std::size_t> measured;
  for (std::size_t i = 0; i < clusters.size(); ++i) {
    if (clusters[i].is_own) {
      tiers.of_cluster[i] = 0;
    } else if (clusters[i].round_trip) {
      measured.push_back(i);
    }
  }
  const auto round_trip = [&](std::size_t i) { return *clusters[i].round_trip; };
  std::sort(measured.begin(), measured.end(),
            [&](std::size_t a, std::size_t b) { return round_trip(a) < round_trip(b); });
  std::size_t tier = 1;
  for (std::size_t next = 0, nearest = 0; next < measured.size(); ++next) {
    if (!Alike(round_trip(measured[nearest]), round_trip(measured[next]))) {
      nearest = next;
      ++tier;
      tiers.names.push_back("clusters further away");
    }
    tiers.of_cluster[measured[next]] = tier;
  }
  return tiers;
}

}  // namespace

Tiers MakeTiers(const mesh::LoadBalancing& balancing, absl::Span<const ClusterFacts> clusters,
                bool zone_is_known) {
  if (!balancing.tiers.empty()) return Explicit(balancing, clusters);
  if (balancing.order == Order::kLocality) return ByLocality(clusters, zone_is_known);
  if (balancing.order == Order::kLatency) return ByLatency(clusters);
  const bool by_cluster = balancing.order == Order::kLocal;
  Tiers tiers;
  if (by_cluster) {
    tiers.names = {"own cluster", "other clusters"};
  } else {
    tiers.names = {"all"};
  }
  for (const ClusterFacts& cluster : clusters) {
    tiers.of_cluster.push_back(by_cluster && !cluster.is_own ? 1 : 0);
  }
  return tiers;
}

}  // namespace tombolo::balance
