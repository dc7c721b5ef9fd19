// SPDX-License-Identifier: Apache-2.0
#include "balance/tiers.h"

#include <chrono>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

namespace tombolo::balance {
namespace {

using std::chrono::milliseconds;
using Order = mesh::LoadBalancing::Order;
using Places = std::vector<std::optional<std::size_t>>;

const std::vector<ClusterFacts> kClusters = {
    {.name = "east", .is_own = true, .in_own_region = true},
    {.name = "west", .in_own_region = true},
    {.name = "south"}};

TEST(TiersTest, ByOrder) {
  EXPECT_EQ(MakeTiers({.order = Order::kLocal}, kClusters, true).of_cluster, (Places{0, 1, 1}));
  EXPECT_EQ(MakeTiers({.order = Order::kNone}, kClusters, true).of_cluster, (Places{0, 0, 0}));
  const Tiers zoned = MakeTiers({.order = Order::kLocality}, kClusters, true);
  EXPECT_EQ(zoned.own_zone, 0u);
  EXPECT_EQ(zoned.of_cluster, (Places{1, 2, 3}));
  EXPECT_EQ(zoned.names.size(), 4u);
  const Tiers unzoned = MakeTiers({.order = Order::kLocality}, kClusters, false);
  EXPECT_EQ(unzoned.own_zone, std::nullopt);
  EXPECT_EQ(unzoned.of_cluster, (Places{0, 1, 2}));
}

TEST(TiersTest, ExplicitOnesLeaveOut) {
  const mesh::LoadBalancing balancing{.tiers = {{"south"}, {"north", "east"}}};
  const Tiers tiers = MakeTiers(balancing, kClusters, true);
  EXPECT_EQ(tiers.of_cluster, (Places{1, std::nullopt, 0}));
  EXPECT_EQ(tiers.names.size(), 2u);
}

std::vector<ClusterFacts> Apart(const std::vector<std::optional<Duration>>& round_trips) {
  std::vector<ClusterFacts> clusters = {{.name = "own", .is_own = true}};
  for (const auto& round_trip : round_trips) {
    clusters.push_back({.name = "other", .round_trip = round_trip});
  }
  return clusters;
}

TEST(TiersTest, ByLatencyInBands) {
  const mesh::LoadBalancing balancing{.order = Order::kLatency};
  const auto places = [&](const std::vector<std::optional<Duration>>& round_trips) {
    const Tiers tiers = MakeTiers(balancing, Apart(round_trips), false);
    std::size_t last = 0;
    for (const auto& tier : tiers.of_cluster) last = std::max(last, *tier);
    EXPECT_EQ(tiers.names.size(), std::max<std::size_t>(last, 1) + 1);
    return tiers.of_cluster;
  };
  EXPECT_EQ(places({milliseconds(100), milliseconds(20), milliseconds(30), milliseconds(31)}),
            (Places{0, 3, 1, 1, 2}));
  // Within five milliseconds is alike, however near.
  EXPECT_EQ(places({milliseconds(1), milliseconds(6), milliseconds(7)}), (Places{0, 1, 1, 2}));
  // The unknown one will be measured there.
  EXPECT_EQ(places({milliseconds(50), std::nullopt, milliseconds(20)}), (Places{0, 2, 1, 1}));
  EXPECT_EQ(places({}), (Places{0}));
}

}  // namespace
}  // namespace tombolo::balance
