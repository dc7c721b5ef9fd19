// SPDX-License-Identifier: Apache-2.0
// What Explain() says is what happens, and nothing happens by saying it.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "balance/explanation.h"
#include "balance_case.h"

namespace tombolo::balance {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ExplainTest : public BalanceCase {
 protected:
  // Of one's own, whose state a copy has, too.
  Balancer own_random_{Place{"east", "east-0"}, std::mt19937_64(7)};

  std::string WhatIsPicked(Balancer& balancer) {
    const auto choice = balancer.Pick(Want(), {}, now_);
    return choice ? Text(*choice) : "none";
  }
  std::string WhatIsExplained(Balancer& balancer) {
    const Explanation explained = balancer.Explain(Want(), 1, now_);
    return explained.choices.empty() ? "none" : Text(explained.choices[0]);
  }
  static std::string Text(const Choice& choice) {
    return absl::StrCat(choice.endpoint, " ", choice.gateway ? absl::StrCat(*choice.gateway) : "-",
                        " ", choice.why.ToString());
  }
};

TEST_F(ExplainTest, SaysWhatIsPickedNext) {
  AddGateways(1, 3);
  balancing_.overflow_below = 90;
  Use({MakeEndpoint(0, "east"), MakeEndpoint(1, "east"), Behind("west", 4, 3),
       MakeEndpoint(0, "south", 5)});
  own_random_.SetSnapshot(snapshot_, now_);
  for (int i = 0; i < 200; ++i) {
    now_ += milliseconds(300);
    const std::string explained = WhatIsExplained(own_random_);
    EXPECT_EQ(WhatIsExplained(own_random_), explained) << "asking changes nothing";
    ASSERT_EQ(WhatIsPicked(own_random_), explained) << i;
    // So that it becomes another one: ejections, trials, load.
    const auto choice = own_random_.Pick(Want(), {}, now_);
    Balancer::Attempt attempt = own_random_.Begin(Want(), *choice, now_);
    if (choice->endpoint == 0 || i % 7 == 0) {
      attempt.OnFailure(i % 2 == 0 ? Failure::kWay : Failure::kEndpoint, now_);
    } else {
      attempt.OnConnected(milliseconds(i % 5), now_);
    }
  }
}

TEST_F(ExplainTest, BeginsNoTrialAndNoLoad) {
  Use({MakeEndpoint(0, "east"), MakeEndpoint(1, "east")});
  Succeed(1);
  Fail(0, kFailuresToEject);
  now_ += kFirstEjection + milliseconds(1);
  for (int i = 0; i < 3; ++i) {
    const Explanation explained = balancer_.Explain(Want(), 1, now_);
    ASSERT_EQ(explained.choices.size(), 1);
    EXPECT_EQ(explained.choices[0].endpoint, 0);
    EXPECT_EQ(explained.choices[0].why.reason, Why::Reason::kTrial);
  }
  EXPECT_EQ(View(0).in_flight + View(1).in_flight, 0);
  EXPECT_EQ(Pick()->why.reason, Why::Reason::kTrial);
}

TEST_F(ExplainTest, APortThatNobodyHasUsedStaysUnknown) {
  Use({MakeEndpoint(0, "east")});
  EXPECT_EQ(balancer_.Explain(Want(), 8, now_).choices.size(), 1);
  EXPECT_EQ(balancer_.size(), 0);
}

TEST_F(ExplainTest, GoesOnAsIfTheWayHadFailed) {
  AddGateways(1, 2);
  Use({MakeEndpoint(0, "east"), MakeEndpoint(1, "east"), Behind("west", 2)});
  const Explanation explained = balancer_.Explain(Want(), 8, now_);
  std::vector<std::string> clusters;
  for (const Choice& choice : explained.choices) {
    clusters.push_back(endpoints()[choice.endpoint].cluster);
  }
  EXPECT_THAT(clusters, ElementsAre("east", "east", "west", "west"));
  EXPECT_FALSE(explained.choices[2].SamePlace(explained.choices[3])) << "the other gateway";
  EXPECT_EQ(explained.choices[1].why.reason, Why::Reason::kRetry);
  EXPECT_EQ(balancer_.Explain(Want(), 2, now_).choices.size(), 2);
}

TEST_F(ExplainTest, TiersStandAsTheyAre) {
  AddGateways(1, 2);
  AddGateways(2, 1);
  clusters_[2].draining = true;
  balancing_.panic_below = 0;
  mesh::Endpoint unready = MakeEndpoint(1, "east");
  unready.ready = false;
  unready.ready_members = 0;
  Use({MakeEndpoint(0, "east"), unready, Behind("west", 5, 4), Behind("south", 3)});
  Fail(2, kFailuresToEject, Failure::kWay, 0);
  Fail(2, kFailuresToEject, Failure::kWay, 1);
  const Explanation explained = balancer_.Explain(Want(), 1, now_);
  ASSERT_EQ(explained.tiers.size(), 3);
  const auto& [own, others, draining] =
      std::tie(explained.tiers[0], explained.tiers[1], explained.tiers[2]);
  EXPECT_EQ(own.name, "own cluster");
  ASSERT_EQ(own.clusters.size(), 1);
  EXPECT_EQ(own.clusters[0].name, "east");
  EXPECT_EQ(own.clusters[0].all, 2);
  EXPECT_EQ(own.clusters[0].ready, 1);
  EXPECT_EQ(own.clusters[0].in_use, 1);
  EXPECT_FALSE(own.clusters[0].ejected);
  ASSERT_EQ(others.clusters.size(), 1);
  EXPECT_EQ(others.tier, 1);
  EXPECT_EQ(others.clusters[0].name, "west");
  EXPECT_EQ(others.clusters[0].all, 5);
  EXPECT_EQ(others.clusters[0].ready, 4);
  EXPECT_EQ(others.clusters[0].in_use, 0);
  EXPECT_TRUE(others.clusters[0].ejected) << "all its gateways";
  EXPECT_GT(others.clusters[0].ejected_for, Duration::zero());
  EXPECT_FALSE(others.clusters[0].draining);
  ASSERT_EQ(draining.clusters.size(), 1);
  EXPECT_EQ(draining.clusters[0].name, "south");
  EXPECT_TRUE(draining.clusters[0].draining);
  EXPECT_EQ(draining.share, 0);
  EXPECT_DOUBLE_EQ(own.share + others.share, 1);
}

TEST_F(ExplainTest, NothingReadyIsNoChoice) {
  AddGateways(1, 1);
  Use({Behind("west", 2, 0)});
  EXPECT_THAT(balancer_.Explain(Want(), 8, now_).choices, IsEmpty());
}

}  // namespace
}  // namespace tombolo::balance
