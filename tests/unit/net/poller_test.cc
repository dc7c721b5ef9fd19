// SPDX-License-Identifier: Apache-2.0
#include "net/poller.h"

#include <thread>
#include <vector>

#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include "base/task_group.h"
#include "unit/net/poller_run.h"

namespace tombolo::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PollerTest : public testing::Test {
 protected:
  asio::io_context io_;
  std::unique_ptr<Poller> poller_ = *Poller::Create(io_);
};

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

TEST_F(PollerTest, AWaitingLoopIsWokenByAPostFromAnotherThread) {
  for (int i = 0; i < 100; ++i) {
    bool ran = false;
    std::thread other([&] {
      asio::post(io_, [&] { ran = true; });
      poller_->Wake();
    });
    const MonotonicTime deadline = After(seconds(10));
    while (!ran && Now() < deadline) poller_->RunOnce(deadline);
    other.join();
    ASSERT_TRUE(ran);
  }
  EXPECT_LT(poller_->turns(), 1000u);
}

TEST_F(PollerTest, TimersGoOffInTheirOrder) {
  std::vector<int> order;
  Timer late(*poller_, [&] { order.push_back(3); });
  Timer early(*poller_, [&] { order.push_back(1); });
  Timer middle(*poller_, [&] { order.push_back(2); });
  Timer never(*poller_, [&] { order.push_back(4); });
  Timer cancelled(*poller_, [&] { order.push_back(5); });
  late.ExpireAt(After(milliseconds(30)));
  early.ExpireAt(After(seconds(10)));
  early.ExpireAt(After(milliseconds(10)));
  middle.ExpireAt(After(milliseconds(20)));
  never.ExpireAt(kNoDeadline);
  cancelled.ExpireAt(After(milliseconds(1)));
  cancelled.Cancel();
  const MonotonicTime deadline = After(seconds(10));
  while (order.size() < 3 && Now() < deadline) poller_->RunOnce(deadline);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST_F(PollerTest, ATimerMayDestroyItselfAndOthers) {
  auto other = std::make_unique<Timer>(*poller_, [] { FAIL(); });
  std::unique_ptr<Timer> self;
  self = std::make_unique<Timer>(*poller_, [&] {
    other.reset();
    self.reset();
  });
  self->ExpireAt(Now());
  other->ExpireAt(Now());
  poller_->RunOnce(After(milliseconds(10)));
  poller_->RunOnce(Now());
  EXPECT_EQ(self, nullptr);
}

Awaitable<void> WaitFor(Waiter& waiter, MonotonicTime deadline, Waiter::End& end) {
  end = co_await waiter.Wait(deadline);
}

Awaitable<void> EndsInThreeWays(Poller& poller) {
  TaskGroup tasks(poller.io().get_executor());
  Waiter waiter(poller);
  Waiter::End end{};
  waiter.Wake();  // nobody waits: not remembered
  tasks.Spawn(WaitFor(waiter, kNoDeadline, end));
  co_await Sleep(poller, milliseconds(5));
  EXPECT_TRUE(waiter.waiting());
  waiter.Wake();
  EXPECT_FALSE(waiter.waiting());
  waiter.Wake();
  co_await tasks.Join();
  EXPECT_EQ(end, Waiter::End::kWoken);
  tasks.Spawn(WaitFor(waiter, After(milliseconds(5)), end));
  co_await tasks.Join();
  EXPECT_EQ(end, Waiter::End::kDeadline);
  tasks.Spawn(WaitFor(waiter, After(seconds(20)), end));
  co_await Sleep(poller, milliseconds(5));
  tasks.Cancel();
  co_await tasks.Join();
  EXPECT_EQ(end, Waiter::End::kCancelled);
}

TEST_F(PollerTest, AWaitEndsInThreeWays) { RunToEnd(*poller_, EndsInThreeWays(*poller_)); }

Awaitable<void> YieldUntil(Poller& poller, const bool& stop, int& turns) {
  Waiter waiter(poller);
  while (!stop) {
    ++turns;
    (void)co_await waiter.Yield();
  }
}

// Coroutines that always have more to do let timers, posts and each other go on.
Awaitable<void> YieldsToAll(Poller& poller) {
  TaskGroup tasks(poller.io().get_executor());
  bool stop = false;
  int first = 0;
  int second = 0;
  tasks.Spawn(YieldUntil(poller, stop, first));
  tasks.Spawn(YieldUntil(poller, stop, second));
  co_await Sleep(poller, milliseconds(20));
  EXPECT_GT(first, 10);
  EXPECT_NEAR(first, second, 2);
  stop = true;
  co_await tasks.Join();
}

TEST_F(PollerTest, AYieldLetsAllOthersGoFirst) { RunToEnd(*poller_, YieldsToAll(*poller_)); }

TEST_F(PollerTest, AnIdleLoopSleeps) {
  const std::uint64_t before = poller_->turns();
  poller_->RunOnce(After(milliseconds(50)));
  EXPECT_EQ(poller_->turns(), before + 1);
}

TEST_F(PollerTest, AWaiterMayGoWithItsCoroutine) {
  bool destroyed = false;
  struct Flag {
    bool& flag;
    ~Flag() { flag = true; }
  };
  auto waiter = std::make_unique<Waiter>(*poller_);
  asio::co_spawn(
      io_,
      [&]() -> Awaitable<void> {
        const Flag flag{destroyed};
        (void)co_await waiter->Wait();
      },
      [](std::exception_ptr) {});
  poller_->RunOnce(Now());
  ASSERT_TRUE(waiter->waiting());
  waiter->Wake();
  waiter.reset();
  poller_->RunOnce(Now());  // Asio unwinds a coroutine on its executor
  EXPECT_TRUE(destroyed);
}

}  // namespace
}  // namespace tombolo::net
