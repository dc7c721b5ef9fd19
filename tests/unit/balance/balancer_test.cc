// SPDX-License-Identifier: Apache-2.0
#include "balance/balancer.h"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "unit/mesh/small_mesh.h"

namespace tombolo::balance {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kService[] = "shop/web";

mesh::Endpoint MakeEndpoint(int number, const char* cluster, std::uint32_t weight = 1) {
  return {.workload = absl::StrCat(cluster, "/web-", number),
          .cluster = cluster,
          .node = "node",
          .identity = {},
          .address = *net::SocketAddress::Parse(absl::StrCat("10.0.0.", number + 1, ":8080")),
          .weight = weight};
}

class BalancerTest : public testing::Test {
 protected:
  mesh::ServicePort Port(std::vector<mesh::Endpoint> endpoints) {
    return {.port = 80, .endpoints = std::move(endpoints)};
  }
  std::optional<std::size_t> Pick(const mesh::ServicePort& port,
                                  const std::vector<std::size_t>& tried = {}) {
    return balancer_.Pick(port, kService, "east", tried, now_);
  }
  Balancer::Attempt Begin(const mesh::Endpoint& endpoint) {
    return balancer_.Begin(kService, 80, endpoint, now_);
  }
  EndpointView View(const mesh::Endpoint& endpoint) {
    return balancer_.View(kService, 80, endpoint, now_);
  }
  // One attempt after another, so that each counts.
  void Fail(const mesh::Endpoint& endpoint, int times) {
    for (int i = 0; i < times; ++i) {
      now_ += milliseconds(1);
      Balancer::Attempt attempt = Begin(endpoint);
      attempt.OnFailure(now_);
    }
  }
  std::map<std::size_t, int> Histogram(const mesh::ServicePort& port, int picks) {
    std::map<std::size_t, int> counts;
    for (int i = 0; i < picks; ++i) ++counts[*Pick(port)];
    return counts;
  }

  std::mt19937_64 engine_{42};
  Balancer balancer_{[this] { return engine_(); }};
  MonotonicTime now_{std::chrono::hours(1)};
};

TEST_F(BalancerTest, NothingToPick) {
  EXPECT_EQ(Pick(Port({})), std::nullopt);
  mesh::Endpoint unready = MakeEndpoint(1, "east");
  unready.ready = false;
  EXPECT_EQ(Pick(Port({unready})), std::nullopt);
  EXPECT_EQ(Pick(Port({MakeEndpoint(1, "east")}), {0}), std::nullopt);
}

TEST_F(BalancerTest, LocalClusterFirstThenOthers) {
  const auto port =
      Port({MakeEndpoint(1, "west"), MakeEndpoint(2, "east"), MakeEndpoint(3, "west")});
  EXPECT_EQ(Histogram(port, 100), (std::map<std::size_t, int>{{1, 100}}));
  EXPECT_NE(Pick(port, {1}), 1u);
  EXPECT_EQ(Pick(port, {1, 0}), 2u);
  EXPECT_EQ(Pick(port, {0, 1, 2}), std::nullopt);
}

TEST_F(BalancerTest, CountsWhatIsInFlight) {
  const mesh::Endpoint endpoint = MakeEndpoint(1, "east");
  {
    Balancer::Attempt first = Begin(endpoint);
    Balancer::Attempt second = Begin(endpoint);
    EXPECT_EQ(View(endpoint).in_flight, 2u);
    second = std::move(first);
    EXPECT_EQ(View(endpoint).in_flight, 1u);
  }
  EXPECT_EQ(View(endpoint).in_flight, 0u);
}

TEST_F(BalancerTest, AttemptsMayOutliveTheBalancer) {
  auto balancer = std::make_unique<Balancer>([] { return 0; });
  Balancer::Attempt attempt = balancer->Begin(kService, 80, MakeEndpoint(1, "east"), now_);
  balancer.reset();
  attempt.OnConnected(milliseconds(1), now_);
}

TEST_F(BalancerTest, FiveFailuresInARowEject) {
  const auto port = Port({MakeEndpoint(1, "east"), MakeEndpoint(2, "east")});
  Fail(port.endpoints[0], 4);
  EXPECT_EQ(View(port.endpoints[0]).ejected_for, Duration{});
  Begin(port.endpoints[0]).OnConnected(milliseconds(1), now_);  // not in a row any more
  Fail(port.endpoints[0], 4);
  EXPECT_EQ(View(port.endpoints[0]).ejected_for, Duration{});
  Fail(port.endpoints[0], 1);
  EXPECT_EQ(View(port.endpoints[0]).ejected_for, seconds(1));
  EXPECT_EQ(Histogram(port, 100), (std::map<std::size_t, int>{{1, 100}}));
  now_ += seconds(1);
  EXPECT_GT(Histogram(port, 100)[0], 0);
}

TEST_F(BalancerTest, EjectionDoublesUpToAMinute) {
  const mesh::Endpoint endpoint = MakeEndpoint(1, "east");
  Fail(endpoint, 5);
  for (const int expected : {1, 2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_EQ(View(endpoint).ejected_for, seconds(expected));
    now_ += seconds(expected);
    EXPECT_EQ(View(endpoint).ejected_for, Duration{});
    Fail(endpoint, 1);
  }
  Begin(endpoint).OnConnected(milliseconds(1), now_);
  EXPECT_EQ(View(endpoint).ejected_for, Duration{});
  Fail(endpoint, 5);
  EXPECT_EQ(View(endpoint).ejected_for, seconds(1));
}

TEST_F(BalancerTest, ABurstUnderWayEjectsOnce) {
  const mesh::Endpoint endpoint = MakeEndpoint(1, "east");
  std::vector<Balancer::Attempt> burst;
  for (int i = 0; i < 100; ++i) burst.push_back(Begin(endpoint));
  now_ += milliseconds(10);
  for (Balancer::Attempt& attempt : burst) attempt.OnFailure(now_);
  EXPECT_EQ(View(endpoint).ejected_for, seconds(1));
}

TEST_F(BalancerTest, RefusalsNeverCount) {
  const mesh::Endpoint endpoint = MakeEndpoint(1, "east");
  for (int i = 0; i < 100; ++i) Begin(endpoint).OnRefused();
  EXPECT_EQ(View(endpoint).ejected_for, Duration{});
  Fail(endpoint, 4);
  Begin(endpoint).OnRefused();  // neither a failure nor a success
  Fail(endpoint, 1);
  EXPECT_EQ(View(endpoint).ejected_for, seconds(1));
}

TEST_F(BalancerTest, EjectedLocalsGiveWayToOtherClusters) {
  const auto port = Port({MakeEndpoint(1, "east"), MakeEndpoint(2, "west")});
  Fail(port.endpoints[0], 5);
  EXPECT_EQ(Pick(port), 1u);
  EXPECT_EQ(Pick(port, {1}), 0u);  // rather an ejected one than none
}

TEST_F(BalancerTest, NeverMoreThanHalfAreEjected) {
  std::vector<mesh::Endpoint> endpoints;
  for (int i = 1; i <= 5; ++i) endpoints.push_back(MakeEndpoint(i, "east"));
  const auto port = Port(std::move(endpoints));
  for (const mesh::Endpoint& endpoint : port.endpoints) Fail(endpoint, 5);
  const auto counts = Histogram(port, 300);
  // 5 ejected, 2 may count: the 3 whose time is over soonest are used.
  EXPECT_EQ(counts.size(), 3u);
  EXPECT_TRUE(counts.contains(0) && counts.contains(1) && counts.contains(2));
  EXPECT_EQ(Pick(port, {0, 1, 2}), 3u);  // the least bad of the rest
}

TEST_F(BalancerTest, TheOnlyEndpointIsAlwaysUsed) {
  const auto port = Port({MakeEndpoint(1, "east")});
  Fail(port.endpoints[0], 50);
  EXPECT_EQ(Pick(port), 0u);
}

TEST_F(BalancerTest, IdleEndpointsShareByWeight) {
  const auto port =
      Port({MakeEndpoint(1, "east", 1), MakeEndpoint(2, "east", 3), MakeEndpoint(3, "east", 6)});
  const auto counts = Histogram(port, 100'000);
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
  const auto port = Port(std::move(endpoints));
  std::vector<Balancer::Attempt> open;
  for (int i = 0; i < kEndpoints * kPerEndpoint; ++i) {
    open.push_back(Begin(port.endpoints[*Pick(port)]));
  }
  std::uint32_t fullest = 0;
  std::uint32_t emptiest = ~0u;
  for (const mesh::Endpoint& endpoint : port.endpoints) {
    fullest = std::max(fullest, View(endpoint).in_flight);
    emptiest = std::min(emptiest, View(endpoint).in_flight);
  }
  EXPECT_LE(fullest, kPerEndpoint + 4);   // uniform: about 35
  EXPECT_GE(emptiest, kPerEndpoint - 8);  // uniform: about 8
}

TEST_F(BalancerTest, LongConnectionsShareByWeightToo) {
  const auto port = Port({MakeEndpoint(1, "east", 1), MakeEndpoint(2, "east", 3)});
  std::vector<Balancer::Attempt> open;
  for (int i = 0; i < 4000; ++i) open.push_back(Begin(port.endpoints[*Pick(port)]));
  EXPECT_NEAR(View(port.endpoints[0]).in_flight, 1000, 30);
}

TEST_F(BalancerTest, SlowEndpointsGetLessAndAreTriedAgain) {
  const auto port = Port({MakeEndpoint(1, "east"), MakeEndpoint(2, "east")});
  Begin(port.endpoints[0]).OnConnected(milliseconds(200), now_);
  Begin(port.endpoints[1]).OnConnected(milliseconds(5), now_);
  EXPECT_EQ(Histogram(port, 200), (std::map<std::size_t, int>{{1, 200}}));
  now_ += std::chrono::minutes(5);  // old news
  EXPECT_GT(Histogram(port, 200)[0], 50);
}

TEST_F(BalancerTest, SmallLatencyDifferencesAreNoise) {
  const auto port = Port({MakeEndpoint(1, "east"), MakeEndpoint(2, "east")});
  Begin(port.endpoints[0]).OnConnected(std::chrono::microseconds(900), now_);
  Begin(port.endpoints[1]).OnConnected(std::chrono::microseconds(100), now_);
  EXPECT_NEAR(Histogram(port, 10'000)[0], 5000, 300);
}

TEST_F(BalancerTest, StateFollowsTheEndpointAcrossSnapshots) {
  const auto before = mesh::SmallMesh();
  ASSERT_TRUE(before->Index().ok());
  const mesh::Endpoint endpoint = before->services[0].ports[0].endpoints[0];
  Fail(endpoint, 5);
  Balancer::Attempt attempt = Begin(endpoint);
  const auto same = mesh::SmallMesh();
  ASSERT_TRUE(same->Index().ok());
  balancer_.Forget(*same);
  EXPECT_EQ(balancer_.size(), 1u);
  EXPECT_EQ(View(endpoint).ejected_for, seconds(1));
  EXPECT_EQ(View(endpoint).in_flight, 1u);

  const auto moved = mesh::SmallMesh();
  moved->services[0].ports[0].endpoints[0].address.port = 8081;
  ASSERT_TRUE(moved->Index().ok());
  balancer_.Forget(*moved);
  EXPECT_EQ(balancer_.size(), 0u);
  attempt.OnFailure(now_);  // of an endpoint that is gone: harmless
}

TEST_F(BalancerTest, ForgetsServicesAndPortsThatAreGone) {
  Fail(MakeEndpoint(1, "east"), 1);
  balancer_.Begin("shop/gone", 80, MakeEndpoint(1, "east"), now_);
  balancer_.Begin(kService, 81, MakeEndpoint(1, "east"), now_);
  EXPECT_EQ(balancer_.size(), 3u);
  const auto snapshot = mesh::SmallMesh();
  ASSERT_TRUE(snapshot->Index().ok());
  balancer_.Forget(*snapshot);
  EXPECT_EQ(balancer_.size(), 0u);
}

}  // namespace
}  // namespace tombolo::balance
