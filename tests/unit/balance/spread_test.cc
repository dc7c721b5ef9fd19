// SPDX-License-Identifier: Apache-2.0
// How connections are spread over tiers and clusters while nothing, or little, is wrong.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/balance/balance_case.h"

namespace tombolo::balance {
namespace {

using Order = mesh::LoadBalancing::Order;
using Reason = Why::Reason;

class SpreadTest : public BalanceCase {
 protected:
  // `ready` of `all` endpoints of the cluster, which are numbered from `first`.
  static void Add(std::vector<mesh::Endpoint>& to, const std::string& cluster, int all, int ready) {
    for (int i = 0; i < all; ++i) {
      to.push_back(MakeEndpoint(i, cluster));
      to.back().ready = i < ready;
      to.back().ready_members = to.back().ready ? 1 : 0;
    }
  }
  std::map<std::string, double> SharesOf(int picks = 20'000) {
    std::map<std::string, double> shares;
    for (const auto& [endpoint, count] : Histogram(picks)) {
      shares[endpoints()[endpoint].cluster] += static_cast<double>(count) / picks;
    }
    return shares;
  }
};

TEST_F(SpreadTest, LocalityGoesFromTheZoneOutwards) {
  balancing_.order = Order::kLocality;
  clusters_[0].nodes[0].zone = "a";  // where the balancer is
  clusters_[0].nodes[1].zone = "b";
  clusters_[0].region = clusters_[1].region = "here";
  clusters_[2].region = "there";
  Use({MakeEndpoint(0, "south"), MakeEndpoint(0, "west"), MakeEndpoint(1, "east"),
       MakeEndpoint(0, "east")});
  EXPECT_EQ(PickOne(), 3);
  EXPECT_EQ(PickOne({3}), 2);
  EXPECT_EQ(PickOne({3, 2}), 1);
  EXPECT_EQ(PickOne({3, 2, 1}), 0);
}

TEST_F(SpreadTest, AClusterInNoTierGetsNothing) {
  balancing_.tiers = {{"west"}, {"east"}};
  Use({MakeEndpoint(0, "south"), MakeEndpoint(0, "east"), MakeEndpoint(0, "west")});
  EXPECT_EQ(PickOne(), 2);
  EXPECT_EQ(PickOne({2}), 1);
  EXPECT_EQ(PickOne({2, 1}), -1);
}

TEST_F(SpreadTest, OverflowIsGradual) {
  for (const auto& [ready, share] :
       std::map<int, double>{{10, 1.0}, {7, 1.0}, {6, 6 / 7.0}, {4, 4 / 7.0}, {1, 1 / 7.0}}) {
    std::vector<mesh::Endpoint> endpoints;
    Add(endpoints, "east", 10, ready);
    Add(endpoints, "west", 10, 10);
    Use(std::move(endpoints));
    now_ += kSlowStart;
    EXPECT_NEAR(SharesOf()["east"], share, 0.02) << ready;
  }
}

TEST_F(SpreadTest, OverflowIsExplained) {
  std::vector<mesh::Endpoint> endpoints;
  Add(endpoints, "east", 10, 4);
  Add(endpoints, "west", 1, 1);
  Use(std::move(endpoints));
  std::map<Reason, Why> seen;
  for (int i = 0; i < 100; ++i) {
    const Why why = Pick()->why;
    seen[why.reason] = why;
  }
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[Reason::kPreferred].ToString(),
            "tier 0 (own cluster): the first with anything in use, takes 57 %");
  EXPECT_EQ(seen[Reason::kOverflow].ToString(),
            "tier 1 (other clusters): overflow, 40 % in use before it, takes 43 %");
}

TEST_F(SpreadTest, MembersBehindGatewaysCount) {
  AddGateways(1, 1);
  balancing_.tiers = {{"west"}, {"east"}};
  Use({Behind("west", 10, 3), MakeEndpoint(0, "east")});
  EXPECT_NEAR(SharesOf()["west"], 3 / 7.0, 0.02);
}

TEST_F(SpreadTest, TooLittleEverywhereIsSharedInProportion) {
  std::vector<mesh::Endpoint> endpoints;
  Add(endpoints, "east", 10, 2);
  Add(endpoints, "west", 10, 1);
  Use(std::move(endpoints));
  EXPECT_NEAR(SharesOf()["east"], 2 / 3.0, 0.02);
}

TEST_F(SpreadTest, ClusterWeightsDoNotCountEndpoints) {
  balancing_.order = Order::kNone;
  balancing_.cluster_weights = {{"west", 3}, {"south", 0}};
  std::vector<mesh::Endpoint> endpoints;
  Add(endpoints, "east", 9, 9);
  Add(endpoints, "west", 1, 1);
  Add(endpoints, "south", 5, 5);
  Use(endpoints);
  const auto shares = SharesOf();
  EXPECT_NEAR(shares.at("east"), 0.25, 0.02);
  EXPECT_NEAR(shares.at("west"), 0.75, 0.02);
  EXPECT_FALSE(shares.contains("south"));  // as long as others are left
  for (int i = 0; i < 10; ++i) endpoints[i].ready = false;
  Use(endpoints);
  EXPECT_EQ(SharesOf()["south"], 1);
}

TEST_F(SpreadTest, AClusterWeighsAsMuchAsItHasInUse) {
  balancing_.order = Order::kNone;
  balancing_.cluster_weights = {{"east", 1}, {"west", 1}};
  std::vector<mesh::Endpoint> endpoints;
  Add(endpoints, "east", 10, 10);
  Add(endpoints, "west", 20, 7);  // half of what it should have
  Use(endpoints);
  EXPECT_NEAR(SharesOf()["west"], 1 / 3.0, 0.02);
}

TEST_F(SpreadTest, WithoutClusterWeightsEndpointsWeigh) {
  balancing_.order = Order::kNone;
  AddGateways(2, 1);
  Use({MakeEndpoint(0, "east", 1), MakeEndpoint(0, "west", 4), Behind("south", 5)});
  const auto shares = SharesOf();
  EXPECT_NEAR(shares.at("east"), 0.1, 0.01);
  EXPECT_NEAR(shares.at("west"), 0.4, 0.02);
  EXPECT_NEAR(shares.at("south"), 0.5, 0.02);
}

TEST_F(SpreadTest, ADrainingClusterTakesNothingWhileAnotherCan) {
  clusters_[0].draining = true;
  std::vector<mesh::Endpoint> endpoints;
  Add(endpoints, "east", 10, 10);
  Add(endpoints, "west", 10, 1);
  Use(endpoints);
  EXPECT_EQ(SharesOf()["west"], 1);
  EXPECT_LT(PickOne({10}), 10);  // of this connection, another cannot
  endpoints[10].ready = false;
  Use(endpoints);
  EXPECT_DOUBLE_EQ(SharesOf(100)["west"], 0);
}

TEST_F(SpreadTest, NearClustersFirstOnceTheyAreMeasured) {
  balancing_.order = Order::kLatency;
  Use({MakeEndpoint(0, "west"), MakeEndpoint(0, "south"), MakeEndpoint(0, "north")});
  EXPECT_EQ(SharesOf().size(), 3u);
  balancer_.OnRoundTrip("west", milliseconds(100), now_);
  balancer_.OnRoundTrip("south", milliseconds(20), now_);
  balancer_.OnRoundTrip("north", milliseconds(22), now_);
  const auto shares = SharesOf();
  EXPECT_NEAR(shares.at("south"), 0.5, 0.02);
  EXPECT_NEAR(shares.at("north"), 0.5, 0.02);
  EXPECT_FALSE(shares.contains("west"));
  now_ += std::chrono::minutes(20);  // anybody may be near by now
  EXPECT_EQ(SharesOf().size(), 3u);
}

TEST_F(SpreadTest, GatewaysOfTheOwnZoneThenTheLessBusy) {
  clusters_[0].nodes[0].zone = "a";
  AddGateways(1, 3);
  clusters_[1].gateways[0].zone = "b";
  clusters_[1].gateways[1].zone = clusters_[1].gateways[2].zone = "a";
  Use({Behind("west", 5)});
  std::vector<Balancer::Attempt> open;
  std::map<std::size_t, int> counts;
  for (int i = 0; i < 100; ++i) {
    const Choice choice = *Pick();
    ++counts[*choice.gateway];
    open.push_back(balancer_.Begin(Want(), choice, now_));
  }
  EXPECT_FALSE(counts.contains(0));
  EXPECT_NEAR(counts[1], 50, 2);
}

}  // namespace
}  // namespace tombolo::balance
