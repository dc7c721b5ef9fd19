// SPDX-License-Identifier: Apache-2.0
// Where connections go while something is ejected, and how it comes back.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/balance/balance_case.h"

namespace tombolo::balance {
namespace {

using Order = mesh::LoadBalancing::Order;
using Reason = Why::Reason;

class EjectionTest : public BalanceCase {
 protected:
  std::set<std::string> ClustersNow(int picks = 200) {
    std::set<std::string> clusters;
    for (const auto& [endpoint, count] : Histogram(picks)) {
      clusters.insert(endpoints()[endpoint].cluster);
    }
    return clusters;
  }
  std::vector<mesh::Endpoint> Some(const std::map<std::string, int>& counts) {
    std::vector<mesh::Endpoint> endpoints;
    for (const auto& [cluster, count] : counts) {
      for (int i = 0; i < count; ++i) endpoints.push_back(MakeEndpoint(i, cluster));
    }
    return endpoints;
  }
};

TEST_F(EjectionTest, AWayThatFailsTakesItsEndpointsAlong) {
  Use(Some({{"east", 8}}));  // two on each of four nodes
  Fail(1, 5, Failure::kWay);
  const auto counts = Histogram(500);
  EXPECT_EQ(counts.size(), 6u);
  EXPECT_FALSE(counts.contains(1) || counts.contains(5));  // both on east-1
  EXPECT_EQ(View(1).ejected_for, Duration{});              // the way is, not the endpoint
  EXPECT_TRUE(balancer_.ViewWay("east", NodeAddress(0, 1), now_).ejected);
  EXPECT_FALSE(balancer_.ViewCluster("east", now_).ejected);  // one node is not a cluster
}

TEST_F(EjectionTest, AnEndpointThatFailsShowsThatItsWayWorks) {
  Use(Some({{"east", 8}}));
  for (int i = 0; i < 3; ++i) {
    Fail(1, 4, Failure::kWay);
    Fail(1, 1, Failure::kEndpoint);
  }
  EXPECT_FALSE(balancer_.ViewWay("east", NodeAddress(0, 1), now_).ejected);
}

TEST_F(EjectionTest, SeveralWaysThatFailAreTheirCluster) {
  Use(Some({{"west", 4}, {"south", 4}}));
  Fail(4, 2, Failure::kWay);
  Fail(5, 2, Failure::kWay);
  EXPECT_FALSE(balancer_.ViewCluster("west", now_).ejected);
  Fail(6, 1, Failure::kWay);
  EXPECT_TRUE(balancer_.ViewCluster("west", now_).ejected);
  EXPECT_EQ(ClustersNow(), std::set<std::string>{"south"});
  Succeed(7);  // anywhere in it
  EXPECT_FALSE(balancer_.ViewCluster("west", now_).ejected);
}

TEST_F(EjectionTest, ADeadTierGivesWayToTheNext) {
  balancing_.tiers = {{"west"}, {"south"}, {"north"}};
  Use({MakeEndpoint(0, "north"), MakeEndpoint(0, "south"), MakeEndpoint(0, "west")});
  EXPECT_EQ(PickOne(), 2);
  Fail(2, 5);
  EXPECT_EQ(PickOne(), 1);
  Fail(1, 5);
  EXPECT_EQ(PickOne(), 0);
  Fail(0, 5);  // all are: what was first is as good as any
  EXPECT_EQ(PickOne(), 2);
}

TEST_F(EjectionTest, GatewaysThatAreAllEjectedAreTheirCluster) {
  AddGateways(1, 2);
  AddGateways(2, 1);
  balancing_.tiers = {{"west"}, {"south"}};
  Use({Behind("west", 5), Behind("south", 5)});
  ASSERT_TRUE(Pick());
  balancer_.ObserveWayDead("west", GatewayAddress(1, 0), now_);
  for (int i = 0; i < 50; ++i) {
    const Choice choice = *Pick();
    EXPECT_EQ(choice.endpoint, 0u);
    EXPECT_EQ(choice.gateway, 1u);
  }
  balancer_.ObserveWayDead("west", GatewayAddress(1, 1), now_);
  EXPECT_EQ(ClustersNow(), std::set<std::string>{"south"});
  balancer_.ObserveWayAlive("west", GatewayAddress(1, 0), now_);
  now_ += kSlowStart;
  EXPECT_EQ(ClustersNow(), std::set<std::string>{"west"});
}

// A gateway may keep the tunnels that it has and take no others.
TEST_F(EjectionTest, AnAnswerOnAnOldTunnelDoesNotExcuseDialsThatFail) {
  AddGateways(1, 1);
  balancing_.tiers = {{"west"}, {"south"}};
  Use({Behind("west", 5), MakeEndpoint(0, "south")});
  Fail(0, 5, Failure::kWay, 0);
  EXPECT_EQ(PickOne(), 1);
  balancer_.ObserveWayAlive("west", GatewayAddress(1, 0), now_);
  EXPECT_EQ(PickOne(), 1);
}

TEST_F(EjectionTest, ADeadTierComesBackByOneTrialAtATime) {
  balancing_.tiers = {{"west"}, {"south"}};
  Use({MakeEndpoint(0, "west"), MakeEndpoint(0, "south")});
  Fail(0, 5);
  EXPECT_EQ(PickOne(), 1);
  now_ += seconds(1);
  const Choice trial = *Pick();
  EXPECT_EQ(trial.endpoint, 0u);
  EXPECT_EQ(trial.why.reason, Reason::kTrial);
  Balancer::Attempt attempt = balancer_.Begin(Want(), trial, now_);
  EXPECT_EQ(Histogram(100), (std::map<std::size_t, int>{{1, 100}}));
  attempt.OnFailure(Failure::kEndpoint, now_);
  EXPECT_EQ(View(0).ejected_for, seconds(2));
  now_ += seconds(2);
  balancer_.Begin(Want(), *Pick(), now_).OnConnected(milliseconds(1), now_);
  EXPECT_EQ(PickOne(), 0);
}

TEST_F(EjectionTest, ATrialWithoutAnOutcomeMakesRoomForTheNext) {
  Use(Some({{"east", 2}}));
  Fail(0, 5);
  now_ += seconds(1);
  for (int i = 0; i < 3; ++i) {
    const Choice trial = *Pick();
    EXPECT_EQ(trial.why.reason, Reason::kTrial);
    Balancer::Attempt refused = balancer_.Begin(Want(), trial, now_);
    EXPECT_EQ(Pick()->why.reason, Reason::kPreferred);
  }
}

TEST_F(EjectionTest, WhatIsBackStartsSlowly) {
  Use(Some({{"east", 2}}));
  Fail(0, 5);
  now_ += seconds(1);
  Begin(0).OnConnected(milliseconds(1), now_);
  EXPECT_NEAR(Histogram(11'000)[0], 1000, 200);  // a tenth of the other
  now_ += kSlowStart / 2;
  EXPECT_NEAR(Histogram(15'000)[0], 5000, 400);
  now_ += kSlowStart / 2;
  EXPECT_NEAR(Histogram(10'000)[0], 5000, 400);
}

TEST_F(EjectionTest, WhatIsNewStartsSlowlyButNotEverythingAtFirst) {
  Use(Some({{"east", 2}}));
  EXPECT_NEAR(Histogram(10'000)[0], 5000, 400);
  now_ += seconds(1);
  Use(Some({{"east", 3}}));
  EXPECT_NEAR(Histogram(21'000)[2], 1000, 200);
  now_ += kSlowStart;
  EXPECT_NEAR(Histogram(12'000)[2], 4000, 400);
  auto endpoints = Some({{"east", 3}});
  endpoints[0].ready = false;
  Use(endpoints);
  EXPECT_EQ(Histogram(1000).size(), 2u);
  now_ += seconds(1);
  Use(Some({{"east", 3}}));
  EXPECT_NEAR(Histogram(21'000)[0], 1000, 200);
}

// The cluster that is back would else get everything at once.
TEST_F(EjectionTest, AClusterThatIsBackTakesOverGradually) {
  AddGateways(1, 2);
  balancing_.tiers = {{"west"}, {"south"}};
  Use({Behind("west", 5), MakeEndpoint(0, "south")});
  ASSERT_TRUE(Pick());
  for (int i = 0; i < 5; ++i) Fail(0, 1, Failure::kWay, i % 2);
  ASSERT_TRUE(balancer_.ViewCluster("west", now_).ejected);
  EXPECT_EQ(Histogram(100)[0], 0);
  now_ += seconds(1);
  Begin(0, 0).OnConnected(milliseconds(1), now_);
  EXPECT_NEAR(Histogram(10'000)[0], 10'000 / 7, 400);  // a tenth in use, of 70 % for all
  now_ += kSlowStart;
  EXPECT_EQ(Histogram(100)[0], 100);
}

TEST_F(EjectionTest, InAPanicEjectionsDoNotCount) {
  auto endpoints = Some({{"east", 10}});
  for (int i = 0; i < 6; ++i) endpoints[i].ready = false;
  Use(endpoints);
  Fail(6, 5);
  Fail(7, 5);
  const auto counts = Histogram(1000);  // 2 of 10 in use, below 30 %
  EXPECT_EQ(counts.size(), 4u);
  const Choice choice = *Pick();
  EXPECT_EQ(choice.why.ToString(), "tier 0 (own cluster): panic, 20 % of all in use, takes 100 %");
  // Another attempt goes to one that works.
  const Choice again = *Pick({{{.endpoint = 8}, Failure::kEndpoint}});
  EXPECT_EQ(again.endpoint, 9u);
}

TEST_F(EjectionTest, NoPanicWhileAnotherTierCanTakeAll) {
  auto endpoints = Some({{"east", 10}});
  endpoints.push_back(MakeEndpoint(0, "west"));
  Use(endpoints);
  for (std::size_t i = 0; i < 10; ++i) Fail(i, 5);  // 1 of 11 is left
  EXPECT_EQ(Histogram(100), (std::map<std::size_t, int>{{10, 100}}));
}

TEST_F(EjectionTest, ADrainingClusterTakesOverFromADeadOne) {
  clusters_[2].draining = true;
  Use(Some({{"south", 1}, {"west", 1}}));
  EXPECT_EQ(PickOne(), 1);
  Fail(1, 5);
  EXPECT_EQ(PickOne(), 0);
  now_ += seconds(1);
  const Choice trial = *Pick();  // it is wanted back
  EXPECT_EQ(trial.endpoint, 1u);
  balancer_.Begin(Want(), trial, now_).OnConnected(milliseconds(1), now_);
  EXPECT_EQ(PickOne(), 1);
}

TEST_F(EjectionTest, AClusterWithoutWeightIsNotTried) {
  balancing_.order = Order::kNone;
  balancing_.cluster_weights = {{"south", 0}};
  Use(Some({{"south", 1}, {"west", 1}}));
  Fail(0, 5);
  now_ += seconds(1);
  EXPECT_EQ(Histogram(100), (std::map<std::size_t, int>{{1, 100}}));
  Fail(1, 5);
  EXPECT_EQ(PickOne(), 0);  // no other is left
}

TEST_F(EjectionTest, AfterAWayHasFailedTheNodesOtherEndpointsAreLast) {
  Use(Some({{"east", 5}}));  // 0 and 4 are on east-0
  for (int i = 0; i < 50; ++i) {
    EXPECT_NE(Pick({{{.endpoint = 0}, Failure::kWay}})->endpoint, 4u);
  }
  std::vector<Tried> tried;
  for (std::size_t i = 0; i < 4; ++i) tried.push_back({{.endpoint = i}, Failure::kWay});
  EXPECT_EQ(Pick(tried)->endpoint, 4u);
  EXPECT_EQ(Pick(tried)->why.reason, Reason::kLastLeft);
}

TEST_F(EjectionTest, AfterTwoWaysOfAClusterAnotherOneIsTried) {
  Use(Some({{"east", 4}, {"west", 1}}));
  std::vector<Tried> tried = {{{.endpoint = 0}, Failure::kWay}};
  EXPECT_LT(Pick(tried)->endpoint, 4u);
  tried.push_back({{.endpoint = 1}, Failure::kWay});
  EXPECT_EQ(Pick(tried)->endpoint, 4u);
}

TEST_F(EjectionTest, UnavailableBehindAGatewayIsTriedAgainForItsOthers) {
  AddGateways(1, 1);
  Use({Behind("west", 3)});
  std::vector<Tried> tried = {{{.endpoint = 0, .gateway = 0}, Failure::kEndpoint}};
  EXPECT_TRUE(Pick(tried));
  tried.push_back(tried[0]);
  EXPECT_FALSE(Pick(tried));
  Use({Behind("west", 1)});
  EXPECT_FALSE(Pick({tried[0]}));
}

TEST_F(EjectionTest, WaysThatAreGoneAreForgotten) {
  AddGateways(1, 1);
  Use({Behind("west", 3)});
  ASSERT_TRUE(Pick());
  balancer_.ObserveWayDead("west", GatewayAddress(1, 0), now_);
  Use({Behind("west", 2)});
  EXPECT_TRUE(balancer_.ViewWay("west", GatewayAddress(1, 0), now_).ejected);
  clusters_[1].gateways[0].address.port = 9;
  Use({Behind("west", 2)});
  EXPECT_FALSE(balancer_.ViewWay("west", GatewayAddress(1, 0), now_).ejected);
}

// Whatever fails, at most half of each layer is out.
class HalfTest : public EjectionTest {
 protected:
  // Fails and lets succeed at random, then looks where connections go.
  template <typename Check>
  void Fuzz(Failure what, std::size_t gateways, Check check) {
    for (int round = 0; round < 200; ++round) {
      for (int i = 0; i < 6; ++i) {
        const std::size_t endpoint = engine_() % endpoints().size();
        std::optional<std::size_t> gateway;
        if (gateways > 0) gateway = engine_() % gateways;
        if (engine_() % 5 == 0) {
          Succeed(endpoint, milliseconds(1), gateway);
        } else {
          Fail(endpoint, 5, what, gateway);
        }
        now_ += milliseconds(engine_() % 800);
      }
      std::vector<Choice> choices;
      std::vector<Balancer::Attempt> open;  // so that trials are under way, and all get some
      for (int i = 0; i < 400; ++i) {
        choices.push_back(*Pick());
        open.push_back(balancer_.Begin(Want(), choices.back(), now_));
      }
      check(choices);
    }
  }
};

TEST_F(HalfTest, OfTheEndpoints) {
  Use(Some({{"east", 9}}));
  Fuzz(Failure::kEndpoint, 0, [](const std::vector<Choice>& choices) {
    std::set<std::size_t> used;
    for (const Choice& choice : choices) used.insert(choice.endpoint);
    EXPECT_GE(used.size(), 5u);
  });
}

TEST_F(HalfTest, OfTheWays) {
  Use(Some({{"east", 8}}));
  Fuzz(Failure::kWay, 0, [](const std::vector<Choice>& choices) {
    std::set<std::size_t> nodes;
    for (const Choice& choice : choices) nodes.insert(choice.endpoint % 4);
    EXPECT_GE(nodes.size(), 2u);
  });
}

TEST_F(HalfTest, OfTheClusters) {
  balancing_.order = Order::kNone;
  Use(Some({{"east", 2}, {"north", 2}, {"south", 2}, {"west", 2}}));
  Fuzz(Failure::kWay, 0, [](const std::vector<Choice>& choices) {
    std::set<std::size_t> clusters;
    for (const Choice& choice : choices) clusters.insert(choice.endpoint / 2);
    EXPECT_GE(clusters.size(), 2u);
  });
}

TEST_F(HalfTest, OfTheGateways) {
  AddGateways(1, 5);
  Use({Behind("west", 4)});
  Fuzz(Failure::kWay, 5, [](const std::vector<Choice>& choices) {
    std::set<std::size_t> gateways;
    for (const Choice& choice : choices) gateways.insert(*choice.gateway);
    EXPECT_GE(gateways.size(), 3u);
  });
}

// Its gateways can be reached through nobody: the link's other cluster is not there.
TEST_F(BalanceCase, AClusterOutOfReachIsNotChosen) {
  AddGateways(2, 1);
  clusters_[1].gateways = {{.name = "linked", .via = "south"}};
  Use({Behind("west"), Behind("south")});
  EXPECT_EQ(Histogram(50).size(), 2u);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(Pick()->gateway.has_value());
  // Nor does it count as what is not ready: nothing goes to the next tier for it.
  balancing_.tiers = {{"south", "west"}, {"north"}};
  AddGateways(3, 1);
  clusters_[1].gateways = {{.name = "linked", .via = "north"}};
  clusters_[3].gateways[0].via = "south";
  Use({Behind("west", 8), Behind("south", 2), MakeEndpoint(0, "east")});
  EXPECT_EQ(Histogram(50).size(), 1u);
  clusters_[2].gateways = {{.name = "linked", .via = "east"}};
  Use({Behind("west")});
  EXPECT_EQ(Pick(), std::nullopt);
}

}  // namespace
}  // namespace tombolo::balance
