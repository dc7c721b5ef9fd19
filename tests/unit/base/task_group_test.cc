// SPDX-License-Identifier: Apache-2.0
#include "base/task_group.h"

#include <gtest/gtest.h>

#include "base/time.h"
#include "unit/base/run.h"

namespace tombolo {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

Awaitable<void> SleepLong(int& ended) {
  co_await Sleep(hours(1));
  ++ended;
}

Awaitable<void> SleepTwice(int& first, int& second) {
  co_await Sleep(hours(1));
  ++first;
  co_await Sleep(hours(1));
  ++second;
}

Awaitable<void> EndAtOnce(int& ended) {
  ++ended;
  co_return;
}

Awaitable<void> CancelsAndWaits(int& ended) {
  TaskGroup group(co_await asio::this_coro::executor);
  group.Spawn(SleepLong(ended));
  group.Spawn(SleepLong(ended));
  group.Spawn(EndAtOnce(ended));
  co_await Sleep(milliseconds(10));
  EXPECT_EQ(group.size(), 2u);
  EXPECT_EQ(ended, 1);
  co_await group.CancelAndJoin();
  EXPECT_EQ(group.size(), 0u);
  co_await group.CancelAndJoin();  // twice does no harm
}

TEST(TaskGroupTest, CancelsAndWaits) {
  asio::io_context io;
  int ended = 0;
  RunToEnd(io, CancelsAndWaits(ended));
}

Awaitable<void> CancelsBeforeStart(int& ended) {
  TaskGroup group(co_await asio::this_coro::executor);
  group.Spawn(SleepLong(ended));
  co_await group.CancelAndJoin();
  EXPECT_EQ(group.size(), 0u);
}

TEST(TaskGroupTest, CancelsATaskThatHasNotStarted) {
  asio::io_context io;
  int ended = 0;
  RunToEnd(io, CancelsBeforeStart(ended));
}

// Outside of a handler of the executor a task starts later, which a cancellation may outrun.
TEST(TaskGroupTest, ATaskThatIsCancelledBeforeItsStartNeverRuns) {
  asio::io_context io;
  TaskGroup group(io.get_executor());
  int ended = 0;
  group.Spawn(EndAtOnce(ended));
  group.Spawn(SleepLong(ended));
  group.Cancel();
  io.run_for(std::chrono::seconds(5));
  EXPECT_EQ(group.size(), 0u);
  EXPECT_EQ(ended, 0);
}

Awaitable<void> UnwindsAtTheNextAwait(int& first, int& second) {
  TaskGroup group(co_await asio::this_coro::executor);
  group.Spawn(SleepTwice(first, second));
  co_await Sleep(milliseconds(10));
  co_await group.CancelAndJoin();
}

TEST(TaskGroupTest, ACancelledTaskUnwindsAtItsNextAwait) {
  asio::io_context io;
  int first = 0;
  int second = 0;
  RunToEnd(io, UnwindsAtTheNextAwait(first, second));
  EXPECT_EQ(second, 0);
}

Awaitable<void> Joins(int& ended) {
  TaskGroup group(co_await asio::this_coro::executor);
  co_await group.Join();  // nothing to wait for
  group.Spawn(EndAtOnce(ended));
  co_await group.Join();
  EXPECT_EQ(ended, 1);
  group.Spawn(SleepLong(ended));
  group.Cancel();
  co_await group.Join();
  EXPECT_EQ(group.size(), 0u);
}

TEST(TaskGroupTest, JoinsWhenAllHaveEnded) {
  asio::io_context io;
  int ended = 0;
  RunToEnd(io, Joins(ended));
}

TEST(TaskGroupDeathTest, DestroyingWithARunningTaskEndsTheProcess) {
  asio::io_context io;
  int ended = 0;
  EXPECT_DEATH(
      {
        TaskGroup group(io.get_executor());
        group.Spawn(SleepLong(ended));
      },
      "");
}

}  // namespace
}  // namespace tombolo
