// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/asio.h"
#include "base/time.h"

namespace tombolo::agent {

// For taking over what others make: however often that is, and however long it takes, the thread
// has four fifths of its time for other things. Of one thread, that of `io`.
class Pace {
 public:
  explicit Pace(asio::io_context& io) : io_(io) {}

  // Until the next one may begin. False: cancelled.
  Awaitable<bool> Wait() {
    asio::steady_timer timer(io_, next_);
    auto [error] = co_await timer.async_wait(kUseTuple);
    co_return !error;
  }

  template <typename Work>
  void Do(const Work& work) {
    const MonotonicTime began = std::chrono::steady_clock::now();
    work();
    const MonotonicTime now = std::chrono::steady_clock::now();
    next_ = now + kIdleShare * (now - began);
  }

 private:
  static constexpr int kIdleShare = 4;

  asio::io_context& io_;
  MonotonicTime next_{};
};

}  // namespace tombolo::agent
