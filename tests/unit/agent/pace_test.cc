// SPDX-License-Identifier: Apache-2.0
#include "agent/pace.h"

#include <chrono>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <gtest/gtest.h>

namespace tombolo::agent {
namespace {

TEST(PaceTest, LeavesTheThreadFourTimesAsLongAsTheWorkTook) {
  asio::io_context io;
  Pace pace(io);
  bool waited = false;
  const auto wait = [&]() -> Awaitable<void> { waited = co_await pace.Wait(); };
  const auto run = [&] {
    asio::co_spawn(io, wait(), asio::detached);
    io.restart();
    io.run();
    return std::exchange(waited, false);
  };
  EXPECT_TRUE(run()) << "the first one at once";
  pace.Do([] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  const MonotonicTime began = std::chrono::steady_clock::now();
  EXPECT_TRUE(run());
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(70));
}

}  // namespace
}  // namespace tombolo::agent
