// SPDX-License-Identifier: Apache-2.0
#include "balance/balancer.h"

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "unit/balance/balance_case.h"

namespace tombolo::balance {
namespace {

using BalancerTest = BalanceCase;

TEST_F(BalancerTest, NothingToPick) {
  Use({});
  EXPECT_EQ(Pick(), std::nullopt);
  mesh::Endpoint unready = MakeEndpoint(1, "east");
  unready.ready = false;
  unready.ready_members = 0;
  Use({unready});
  EXPECT_EQ(Pick(), std::nullopt);
  Use({MakeEndpoint(1, "east")});
  EXPECT_EQ(PickOne({0}), -1);
}

TEST_F(BalancerTest, LocalClusterFirstThenOthers) {
  Use({MakeEndpoint(1, "west"), MakeEndpoint(2, "east"), MakeEndpoint(3, "west")});
  EXPECT_EQ(Histogram(100), (std::map<std::size_t, int>{{1, 100}}));
  EXPECT_NE(PickOne({1}), 1);
  EXPECT_EQ(PickOne({1, 0}), 2);
  EXPECT_EQ(PickOne({0, 1, 2}), -1);
}

TEST_F(BalancerTest, CountsWhatIsInFlight) {
  Use({MakeEndpoint(1, "east")});
  {
    Balancer::Attempt first = Begin(0);
    Balancer::Attempt second = Begin(0);
    EXPECT_EQ(View(0).in_flight, 2u);
    second = std::move(first);
    EXPECT_EQ(View(0).in_flight, 1u);
  }
  EXPECT_EQ(View(0).in_flight, 0u);
}

TEST_F(BalancerTest, AttemptsMayOutliveTheBalancer) {
  Use({MakeEndpoint(1, "east")});
  auto balancer = std::make_unique<Balancer>(Place{"east", "east-0"}, [] { return 0; });
  balancer->SetSnapshot(snapshot_, now_);
  Balancer::Attempt attempt = balancer->Begin(Want(), {.endpoint = 0}, now_);
  balancer.reset();
  attempt.OnConnected(milliseconds(1), now_);
}

TEST_F(BalancerTest, FiveFailuresInARowEject) {
  Use({MakeEndpoint(1, "east"), MakeEndpoint(2, "east")});
  Fail(0, 4);
  EXPECT_EQ(View(0).ejected_for, Duration{});
  Succeed(0);  // not in a row any more
  Fail(0, 4);
  EXPECT_EQ(View(0).ejected_for, Duration{});
  Fail(0, 1);
  EXPECT_EQ(View(0).ejected_for, seconds(1));
  EXPECT_EQ(Histogram(100), (std::map<std::size_t, int>{{1, 100}}));
  now_ += seconds(1);
  EXPECT_GT(Histogram(100)[0], 0);
}

TEST_F(BalancerTest, EjectionDoublesUpToAMinute) {
  Use({MakeEndpoint(1, "east")});
  Fail(0, 5);
  for (const int expected : {1, 2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_EQ(View(0).ejected_for, seconds(expected));
    now_ += seconds(expected);
    EXPECT_EQ(View(0).ejected_for, Duration{});
    Fail(0, 1);
  }
  Succeed(0);
  EXPECT_EQ(View(0).ejected_for, Duration{});
  Fail(0, 5);
  EXPECT_EQ(View(0).ejected_for, seconds(1));
}

TEST_F(BalancerTest, ABurstUnderWayEjectsOnce) {
  Use({MakeEndpoint(1, "east")});
  std::vector<Balancer::Attempt> burst;
  for (int i = 0; i < 100; ++i) burst.push_back(Begin(0));
  now_ += milliseconds(10);
  for (Balancer::Attempt& attempt : burst) attempt.OnFailure(Failure::kEndpoint, now_);
  EXPECT_EQ(View(0).ejected_for, seconds(1));
}

TEST_F(BalancerTest, RefusalsNeverCount) {
  Use({MakeEndpoint(1, "east")});
  for (int i = 0; i < 100; ++i) Begin(0);
  EXPECT_EQ(View(0).ejected_for, Duration{});
  Fail(0, 4);
  Begin(0);  // neither a failure nor a success
  Fail(0, 1);
  EXPECT_EQ(View(0).ejected_for, seconds(1));
}

TEST_F(BalancerTest, AnEndpointThatResetsWhatItTakesIsEjected) {
  Use({MakeEndpoint(1, "east"), MakeEndpoint(2, "east")});
  const auto take = [&](std::size_t endpoint) {
    now_ += milliseconds(1);
    Balancer::Attempt attempt = Begin(endpoint);
    attempt.OnConnected(milliseconds(1), now_);
    return attempt;
  };
  for (int i = 0; i < 4; ++i) take(0).OnReset(now_);
  take(0).OnAnswered();
  for (int i = 0; i < 4; ++i) take(0).OnReset(now_);
  EXPECT_EQ(View(0).ejected_for, Duration{});
  take(0).OnReset(now_);
  EXPECT_EQ(View(0).ejected_for, seconds(1));
  EXPECT_EQ(Histogram(100), (std::map<std::size_t, int>{{1, 100}}));
}

TEST_F(BalancerTest, EjectedLocalsGiveWayToOtherClusters) {
  Use({MakeEndpoint(1, "east"), MakeEndpoint(2, "west")});
  Fail(0, 5);
  EXPECT_EQ(PickOne(), 1);
  EXPECT_EQ(PickOne({1}), 0);  // rather an ejected one than none
}

TEST_F(BalancerTest, NeverMoreThanHalfAreEjected) {
  std::vector<mesh::Endpoint> endpoints;
  for (int i = 1; i <= 5; ++i) endpoints.push_back(MakeEndpoint(i, "east"));
  Use(std::move(endpoints));
  for (std::size_t i = 0; i < 5; ++i) Fail(i, 5);
  const auto counts = Histogram(300);
  // 5 ejected, 2 may count: the 3 whose time is over soonest are used.
  EXPECT_EQ(counts.size(), 3u);
  EXPECT_TRUE(counts.contains(0) && counts.contains(1) && counts.contains(2));
  EXPECT_GE(PickOne({0, 1, 2}), 3);
}

TEST_F(BalancerTest, TheOnlyEndpointIsAlwaysUsed) {
  Use({MakeEndpoint(1, "east")});
  Fail(0, 50);
  EXPECT_EQ(PickOne(), 0);
}

TEST_F(BalancerTest, IdleEndpointsShareByWeight) {
  Use({MakeEndpoint(1, "east", 1), MakeEndpoint(2, "east", 3), MakeEndpoint(3, "east", 6)});
  const auto counts = Histogram(100'000);
  EXPECT_NEAR(counts.at(0), 10'000, 700);
  EXPECT_NEAR(counts.at(1), 30'000, 1000);
  EXPECT_NEAR(counts.at(2), 60'000, 1200);
}

// n balls into n bins: power of two choices keeps the fullest within
// ln ln n / ln 2 + O(1) of the mean, a uniform choice does not (Mitzenmacher 2001).
TEST_F(BalancerTest, TwoChoicesKeepTheFullestLow) {
  constexpr int kEndpoints = 200;
  constexpr int kPerEndpoint = 20;
  std::vector<mesh::Endpoint> endpoints;
  for (int i = 0; i < kEndpoints; ++i) endpoints.push_back(MakeEndpoint(i, "east"));
  Use(std::move(endpoints));
  std::vector<Balancer::Attempt> open;
  for (int i = 0; i < kEndpoints * kPerEndpoint; ++i) open.push_back(Begin(Pick()->endpoint));
  std::uint32_t fullest = 0;
  std::uint32_t emptiest = ~0u;
  for (int i = 0; i < kEndpoints; ++i) {
    fullest = std::max(fullest, View(i).in_flight);
    emptiest = std::min(emptiest, View(i).in_flight);
  }
  EXPECT_LE(fullest, kPerEndpoint + 4u);   // uniform: about 35
  EXPECT_GE(emptiest, kPerEndpoint - 8u);  // uniform: about 8
}

TEST_F(BalancerTest, LongConnectionsShareByWeightToo) {
  Use({MakeEndpoint(1, "east", 1), MakeEndpoint(2, "east", 3)});
  std::vector<Balancer::Attempt> open;
  for (int i = 0; i < 4000; ++i) open.push_back(Begin(Pick()->endpoint));
  EXPECT_NEAR(View(0).in_flight, 1000, 30);
}

TEST_F(BalancerTest, SlowEndpointsGetLessAndAreTriedAgain) {
  Use({MakeEndpoint(1, "east"), MakeEndpoint(2, "east")});
  Succeed(0, milliseconds(200));
  Succeed(1, milliseconds(5));
  EXPECT_EQ(Histogram(200), (std::map<std::size_t, int>{{1, 200}}));
  now_ += std::chrono::minutes(5);  // old news
  EXPECT_GT(Histogram(200)[0], 50);
}

TEST_F(BalancerTest, SmallLatencyDifferencesAreNoise) {
  Use({MakeEndpoint(1, "east"), MakeEndpoint(2, "east")});
  Succeed(0, std::chrono::microseconds(900));
  Succeed(1, std::chrono::microseconds(100));
  EXPECT_NEAR(Histogram(10'000)[0], 5000, 300);
}

TEST_F(BalancerTest, StateFollowsTheEndpointAcrossSnapshots) {
  Use({MakeEndpoint(1, "east"), MakeEndpoint(2, "east")});
  Fail(0, 5);
  Balancer::Attempt attempt = Begin(0);
  Use({MakeEndpoint(2, "east"), MakeEndpoint(1, "east")});
  EXPECT_EQ(View(1).ejected_for, seconds(1));
  EXPECT_EQ(View(1).in_flight, 1u);
  EXPECT_EQ(Histogram(100), (std::map<std::size_t, int>{{0, 100}}));

  mesh::Endpoint moved = MakeEndpoint(1, "east");
  moved.address.port = 8081;
  Use({moved});
  EXPECT_EQ(View(0).ejected_for, Duration{});
  attempt.OnFailure(Failure::kEndpoint, now_);  // of an endpoint that is gone: harmless
}

TEST_F(BalancerTest, EndpointsBehindGatewaysAreToldApartByIdentity) {
  AddGateways(1, 1);
  AddGateways(2, 1);
  Use({Behind("west"), Behind("south")});
  Fail(0, 5, Failure::kEndpoint, 0);
  EXPECT_NE(View(0).ejected_for, Duration{});
  EXPECT_EQ(View(1).ejected_for, Duration{});
}

TEST_F(BalancerTest, WhatWasOnlySlowComesLastAndIsNotSpent) {
  Use({MakeEndpoint(1, "east"), MakeEndpoint(2, "east")});
  const Tried slow{{.endpoint = 0}, Failure::kWay, /*only_slow=*/true};
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Pick({slow})->endpoint, 1u);
  const Tried failed{{.endpoint = 1}, Failure::kEndpoint};
  const std::optional<Choice> left = Pick({slow, failed});
  ASSERT_TRUE(left);
  EXPECT_EQ(left->endpoint, 0u);
}

TEST_F(BalancerTest, AGatewayThatWasOnlySlowComesLastAndIsNotSpent) {
  AddGateways(1, 2);
  Use({Behind("west", 3)});
  const Tried slow{{.endpoint = 0, .gateway = 0}, Failure::kWay, /*only_slow=*/true};
  const Tried failed{{.endpoint = 0, .gateway = 1}, Failure::kWay};
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Pick({slow})->gateway, 1u);
  const std::optional<Choice> left = Pick({slow, failed});
  ASSERT_TRUE(left);
  EXPECT_EQ(left->gateway, 0u);
}

TEST_F(BalancerTest, AnotherAttemptGoesThroughAnotherGateway) {
  AddGateways(1, 2);
  Use({Behind("west", 3)});
  const std::optional<Choice> first = Pick();
  ASSERT_TRUE(first && first->gateway);
  const std::optional<Choice> second = Pick({{*first, Failure::kWay}});
  ASSERT_TRUE(second && second->gateway);
  EXPECT_NE(*second->gateway, *first->gateway);
  EXPECT_EQ(Pick({{*first, Failure::kWay}, {*second, Failure::kWay}}), std::nullopt);
}

TEST_F(BalancerTest, ARequestMayBeOfAnOlderSnapshot) {
  Use({MakeEndpoint(1, "east"), MakeEndpoint(2, "east")});
  Fail(0, 5);
  const mesh::SnapshotPtr old = snapshot_;
  const Wanted wanted = Want();
  Use({MakeEndpoint(3, "east")});
  const std::optional<Choice> choice = balancer_.Pick(wanted, {}, now_);
  ASSERT_TRUE(choice);
  balancer_.Begin(wanted, *choice, now_).OnConnected(milliseconds(1), now_);
  EXPECT_EQ(PickOne(), 0);
}

}  // namespace
}  // namespace tombolo::balance
