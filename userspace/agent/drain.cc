// SPDX-License-Identifier: Apache-2.0
#include "agent/drain.h"

#include <chrono>

#include <boost/asio/steady_timer.hpp>

namespace tombolo::agent {
namespace {

constexpr Duration kPoll = std::chrono::milliseconds(50);

}  // namespace

Awaitable<bool> WaitUntilNoneLeft(asio::io_context& io, MonotonicTime deadline,
                                  std::function<Awaitable<std::size_t>()> left,
                                  std::function<bool()> enough) {
  asio::steady_timer timer(io);
  while (std::chrono::steady_clock::now() < deadline && !enough()) {
    const std::size_t count = co_await left();
    if (count == 0) co_return true;
    timer.expires_after(kPoll);
    (void)co_await timer.async_wait(kUseTuple);
  }
  co_return false;
}

}  // namespace tombolo::agent
