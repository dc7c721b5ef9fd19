// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <gtest/gtest.h>

#include "base/asio.h"

namespace tombolo {

// Runs one coroutine until it ends; a test that hangs fails after half a minute.
inline void RunToEnd(asio::io_context& io, Awaitable<void> body) {
  bool ended = false;
  asio::co_spawn(io, std::move(body), [&](std::exception_ptr error) {
    ended = true;
    io.stop();
    if (error) std::rethrow_exception(error);
  });
  io.restart();
  io.run_for(std::chrono::seconds(30));
  ASSERT_TRUE(ended) << "the coroutine did not end within 30 seconds";
}

inline Awaitable<void> Sleep(std::chrono::milliseconds delay) {
  asio::steady_timer timer(co_await asio::this_coro::executor, delay);
  co_await timer.async_wait(kUseTuple);
}

}  // namespace tombolo
