// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <gtest/gtest.h>

#include "base/asio.h"
#include "base/time.h"
#include "net/poller.h"

namespace tombolo::net {

// Runs one coroutine until it ends; a test that hangs fails after ten seconds.
inline void RunToEnd(Poller& poller, Awaitable<void> body) {
  bool ended = false;
  asio::co_spawn(poller.io(), std::move(body), [&](std::exception_ptr error) {
    ended = true;
    if (error) std::rethrow_exception(error);
  });
  const MonotonicTime deadline = After(std::chrono::seconds(10));
  while (!ended && std::chrono::steady_clock::now() < deadline) poller.RunOnce(deadline);
  ASSERT_TRUE(ended) << "the coroutine did not end within ten seconds";
}

inline Awaitable<void> Sleep(Poller& poller, Duration delay) {
  Waiter waiter(poller);
  (void)co_await waiter.Wait(After(delay));
}

}  // namespace tombolo::net
