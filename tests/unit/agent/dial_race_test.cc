// SPDX-License-Identifier: Apache-2.0
#include "agent/dial_race.h"

#include <cerrno>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/errno_status.h"
#include "unit/balance/balance_case.h"
#include "unit/net/place.h"
#include "unit/tls/loop.h"

namespace tombolo::agent {
namespace {

using net::Place;
using std::chrono::hours;
using std::chrono::milliseconds;

constexpr std::size_t kSlots = 3;

// A race has nothing to do with it.
class NoDatapath final : public datapath::Datapath {
 public:
  absl::Status Apply(const datapath::DesiredState&) override { return None(); }
  absl::Status MarkListener(int) override { return None(); }
  absl::StatusOr<datapath::OriginalDestination> TakeOriginalDestination(
      std::uint64_t, const net::SocketAddress&, const net::SocketAddress&) override {
    return None();
  }
  void SweepPending() override {}
  std::vector<std::uint64_t> EnrolledCgroups() const override { return {}; }
  std::vector<datapath::Counter> ReadCounters() const override { return {}; }
  std::vector<datapath::MapInfo> ReadMaps() const override { return {}; }
  std::vector<datapath::ProgramInfo> ReadPrograms() const override { return {}; }
  bool refuse_unknown() const override { return false; }
  absl::Status Probe() override { return None(); }

 private:
  static absl::Status None() { return absl::UnimplementedError("no datapath"); }
};

// East's agent dials west's nodes (kWest, ...) and one of south. Each way's deadline is an hour
// away.
class DialRaceTest : public balance::BalanceCase {
 protected:
  enum Endpoint : std::size_t { kWest, kWestToo, kSouth };

  DialRaceTest() {
    Use({balance::MakeEndpoint(0, "west"), balance::MakeEndpoint(1, "west"),
         balance::MakeEndpoint(0, "south")});
    settings_.cluster = "east";
    world_->deadlines.dial = hours(1);
    world_->deadlines.dial_delay = milliseconds(5);
    context_->world = world_;
    rules_.latest = After(hours(2));
    rules_.another = [this](const Candidate&) -> std::optional<Candidate> {
      ++asked_;
      if (others_.empty()) return std::nullopt;
      Candidate next = std::move(others_.front());
      others_.pop_front();
      return next;
    };
    rules_.on_failure = [this](Candidate& failed, const absl::Status& why) {
      failed_.push_back(failed.way);
      why_ = why;
    };
    rules_.on_slow = [this](const Candidate& slow) { slow_.push_back(slow.way); };
  }
  ~DialRaceTest() override { loop_.Run(tasks_.CancelAndJoin()); }

  Candidate To(Endpoint endpoint, const Place& place) {
    Candidate candidate;
    candidate.route.endpoint = &endpoints()[endpoint];
    candidate.route.address = place.address();
    candidate.route.dialed_cluster = candidate.route.endpoint->cluster;
    candidate.attempt = Begin(endpoint);
    candidate.counters = counted_;
    candidate.way = place.address().ToString();
    candidate.is_new = true;
    return candidate;
  }
  using Result = absl::StatusOr<net::AsyncFd>;
  std::shared_ptr<std::optional<Result>> Start(Candidate& first) {
    first.slot = slots_.TakeFree();
    EXPECT_TRUE(first.slot);
    return loop_.Start(ConnectFirst(*context_, first, rules_));
  }
  Result Race(Candidate& first) {
    const auto result = Start(first);
    EXPECT_TRUE(loop_.RunUntil([&] { return result->has_value(); }));
    return std::move(**result);
  }
  // The one that is connected, by a race that is over.
  void ExpectWinner(const Candidate& first, const Result& result, const Place& place) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(first.way, place.address().ToString());
    EXPECT_EQ(*net::PeerAddress(result->get()), place.address());
  }
  std::size_t FreeSlots() {
    std::vector<DialSlots::Slot> taken;
    while (auto slot = slots_.TakeFree()) taken.push_back(*std::move(slot));
    return taken.size();
  }
  bool Judged() {
    return loop_.RunUntil([&] { return context_->slow_dials == 0; });
  }
  std::optional<Duration> RoundTripTo(const std::string& cluster) {
    return balancer_.ViewCluster(cluster, now_).round_trip;
  }

  testing::Loop loop_;
  Settings settings_;
  NoDatapath datapath_;
  Counters counters_;
  Quotas quotas_;
  ServiceCounterTable table_;
  KnownServiceCounters services_{table_};
  net::BufferPool buffers_;
  DialSlots slots_{loop_.poller(), kSlots};
  tunnel::Pool pool_{loop_.poller(), {}};
  const net::NetworkNamespace own_ = *net::NetworkNamespace::OfThisThread();
  TaskGroup tasks_{loop_.poller().io().get_executor()};
  std::shared_ptr<World> world_ = std::make_shared<World>();
  std::unique_ptr<Context> context_{
      new Context{settings_, datapath_, counters_, quotas_, services_, loop_.poller(), buffers_,
                  tls::RecordSettings(buffers_), slots_, pool_, balancer_, own_, tasks_,
                  /*world=*/nullptr,
                  /*local_endpoints=*/{},
                  /*connections=*/{},
                  /*accepted_tunnels=*/{}}};
  const ServiceCountersPtr counted_ = std::make_shared<ServiceCounters>();
  DialRaceRules rules_;
  std::deque<Candidate> others_;  // in the order of preference
  int asked_ = 0;                 // for one of those
  std::vector<std::string> failed_, slow_;
  absl::Status why_;
};

TEST_F(DialRaceTest, WhoAnswersIsTheOnlyOne) {
  Place there;
  world_->deadlines.dial_delay = hours(1);
  Candidate first = To(kWest, there);
  ExpectWinner(first, Race(first), there);
  EXPECT_EQ(asked_, 0);
  EXPECT_TRUE(RoundTripTo("west"));
  EXPECT_EQ(FreeSlots(), kSlots - 1) << "the winner's handshake needs it";
}

TEST_F(DialRaceTest, WhoWasSlowButAnswersIsMeasured) {
  Place silent(true), there;
  Candidate first = To(kWest, silent);
  others_.push_back(To(kSouth, there));
  const MonotonicTime begun = std::chrono::steady_clock::now();
  ExpectWinner(first, Race(first), there);
  // Of 5 ms: so much is never the machine's.
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(8));
  EXPECT_EQ(slow_, std::vector{silent.address().ToString()});
  EXPECT_TRUE(failed_.empty());
  EXPECT_EQ(counters_.retries, 1u);
  EXPECT_EQ(context_->slow_dials, 1u);
  EXPECT_FALSE(RoundTripTo("west"));
  silent.Answer();
  EXPECT_TRUE(Judged());
  EXPECT_TRUE(RoundTripTo("west")) << "the next connection would be as impatient";
  EXPECT_EQ(counted_->attempts_failed, 0u);
  EXPECT_EQ(balancer_.View(kService, 80, endpoints()[kWest], now_).in_flight, 0u);
}

TEST_F(DialRaceTest, WhoWasSlowAndNeverAnswersHasFailed) {
  std::vector<std::unique_ptr<Place>> silent;
  Place there;
  for (int i = 0; i < balance::kFailuresToEject; ++i) {
    silent.push_back(std::make_unique<Place>(true));
    Candidate first = To(kWest, *silent.back());
    others_.push_back(To(kSouth, there));
    ExpectWinner(first, Race(first), there);
  }
  EXPECT_FALSE(balancer_.ViewWay("west", NodeAddress(1, 0), now_).ejected);
  EXPECT_EQ(context_->slow_dials, silent.size());
  for (const auto& place : silent) place->Refuse();
  EXPECT_TRUE(Judged());
  EXPECT_EQ(counted_->attempts_failed, silent.size());
  EXPECT_TRUE(balancer_.ViewWay("west", NodeAddress(1, 0), now_).ejected);
}

TEST_F(DialRaceTest, OnlySoManyAreJudgedAndNoneOnceTheAgentDrains) {
  Place silent(true), there;
  for (const bool draining : {false, true}) {
    context_->slow_dials = draining ? 0 : kMaxSlowDials;
    context_->draining = draining;
    const std::size_t before = context_->slow_dials;
    Candidate first = To(kWest, silent);
    others_.push_back(To(kSouth, there));
    ExpectWinner(first, Race(first), there);
    EXPECT_EQ(context_->slow_dials, before);
    EXPECT_EQ(tasks_.size(), 0u);
  }
  EXPECT_EQ(slow_.size(), 2u);
}

TEST_F(DialRaceTest, NoWayIsDialledTwice) {
  Place silent(true);
  Candidate first = To(kWest, silent);
  others_.push_back(To(kWestToo, silent));
  const auto result = Start(first);
  EXPECT_TRUE(loop_.RunUntil([&] { return asked_ == 1; }));
  EXPECT_EQ(FreeSlots(), kSlots - 1);
  silent.Answer();
  EXPECT_TRUE(loop_.RunUntil([&] { return result->has_value(); }));
  ExpectWinner(first, **result, silent);
  EXPECT_TRUE(slow_.empty());
  EXPECT_EQ(counters_.retries, 0u);
}

TEST_F(DialRaceTest, WhatNeedsNoDialIsTakenAtOnce) {
  Place silent(true);
  Candidate first = To(kWest, silent);
  others_.push_back(To(kSouth, silent));  // an idle tunnel may well lead there
  others_.back().is_new = false;
  const Result result = Race(first);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_LT(result->get(), 0);
  EXPECT_FALSE(first.is_new);
  EXPECT_EQ(first.route.dialed_cluster, "south");
  EXPECT_EQ(slow_.size(), 1u);
  EXPECT_EQ(FreeSlots(), kSlots);
}

TEST_F(DialRaceTest, WhoFailsMeanwhileLeavesItsPlaceToAnother) {
  Place silent(true), closed, there;
  closed.Refuse();
  // One beside the first, and no more.
  const std::optional<DialSlots::Slot> busy = slots_.TakeFree();
  Candidate first = To(kWest, silent);
  others_.push_back(To(kWestToo, closed));
  others_.push_back(To(kSouth, there));
  ExpectWinner(first, Race(first), there);
  EXPECT_EQ(failed_, std::vector{closed.address().ToString()});
  EXPECT_EQ(ErrnoOf(why_), ECONNREFUSED) << why_;
  EXPECT_EQ(slow_, std::vector{silent.address().ToString()});
  first.slot.reset();
  EXPECT_EQ(FreeSlots(), kSlots - 1);
}

TEST_F(DialRaceTest, TheLastThatFailsIsTheResult) {
  Place silent(true), closed;
  closed.Refuse();
  Candidate first = To(kWest, silent);
  others_.push_back(To(kSouth, closed));
  const auto result = Start(first);
  EXPECT_TRUE(loop_.RunUntil([&] { return failed_.size() == 1; }));
  silent.Refuse();
  EXPECT_TRUE(loop_.RunUntil([&] { return result->has_value(); }));
  EXPECT_EQ(ErrnoOf((*result)->status()), ECONNREFUSED) << (*result)->status();
  EXPECT_EQ(first.way, silent.address().ToString());
  EXPECT_EQ(failed_, std::vector{closed.address().ToString()});
}

TEST_F(DialRaceTest, WithoutAFreeSlotThereIsNoOther) {
  Place silent(true);
  std::vector<DialSlots::Slot> busy;
  while (busy.size() < kSlots - 1) busy.push_back(*slots_.TakeFree());
  Candidate first = To(kWest, silent);
  const auto result = Start(first);
  loop_.Settle();
  EXPECT_EQ(asked_, 0);
  silent.Answer();
  EXPECT_TRUE(loop_.RunUntil([&] { return result->has_value(); }));
  ExpectWinner(first, **result, silent);
}

TEST_F(DialRaceTest, WhoIsFarAwayHasFourRoundTrips) {
  Place silent(true);
  balancer_.OnRoundTrip("west", hours(1), now_);
  Candidate first = To(kWest, silent);
  const auto result = Start(first);
  loop_.Settle();
  EXPECT_EQ(asked_, 0);
  silent.Answer();
  EXPECT_TRUE(loop_.RunUntil([&] { return result->has_value(); }));
}

TEST_F(DialRaceTest, WhoIsCancelledDialsNobodyElse) {
  Place silent(true), there;
  world_->deadlines.dial_delay = hours(1);
  Candidate first = To(kWest, silent);
  others_.push_back(To(kSouth, there));
  first.slot = slots_.TakeFree();
  const auto race = [&]() -> Awaitable<void> {
    const Result result = co_await ConnectFirst(*context_, first, rules_);
    EXPECT_TRUE(absl::IsCancelled(result.status())) << result.status();
  };
  tasks_.Spawn(race());
  loop_.Settle();
  loop_.Run(tasks_.CancelAndJoin());
  EXPECT_EQ(asked_, 0);
  EXPECT_EQ(first.way, silent.address().ToString());
}

}  // namespace
}  // namespace tombolo::agent
