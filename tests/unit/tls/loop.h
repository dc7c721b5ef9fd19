// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/asio.h"
#include "base/fd.h"
#include "net/async_fd.h"
#include "net/socket.h"

namespace tombolo::testing {

// One data-plane thread's event loop, driven by a test.
class Loop {
 public:
  Loop() : poller_(*net::Poller::Create(io_)) {}

  // Runs until `done`, at most a minute; false when that was not enough.
  template <typename Predicate>
  bool RunUntil(Predicate done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      poller_->RunOnce(After(std::chrono::milliseconds(2)));
    }
    return true;
  }

  // Lets everything that is ready happen, also on a machine so busy that `time`
  // passes without a turn of the loop.
  void Settle(std::chrono::milliseconds time = std::chrono::milliseconds(50)) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    RunUntil([&] { return std::chrono::steady_clock::now() >= deadline; });
    // However late it is: what was ready then has happened.
    for (int turns = 0; turns < 10; ++turns) poller_->RunOnce(deadline);
  }

  template <typename T>
  std::shared_ptr<std::optional<T>> Start(Awaitable<T> task) {
    auto result = std::make_shared<std::optional<T>>();
    asio::co_spawn(io_, std::move(task), [result](std::exception_ptr error, T value) {
      if (error) std::rethrow_exception(error);
      result->emplace(std::move(value));
    });
    return result;
  }

  template <typename T>
  T Run(Awaitable<T> task) {
    auto result = Start(std::move(task));
    if (!RunUntil([&] { return result->has_value(); })) std::abort();  // a hang
    return std::move(**result);
  }

  void Run(Awaitable<void> task) {
    bool done = false;
    asio::co_spawn(io_, std::move(task), [&](std::exception_ptr) { done = true; });
    if (!RunUntil([&] { return done; })) std::abort();
  }

  net::AsyncFd Adopt(Fd fd) { return *net::AsyncFd::Adopt(*poller_, std::move(fd)); }
  net::Poller& poller() { return *poller_; }

 private:
  asio::io_context io_;
  std::unique_ptr<net::Poller> poller_;
};

// Both ends of a TCP connection over loopback, non-blocking.
inline std::pair<Fd, Fd> TcpPair() { return *net::LoopbackPair(); }

}  // namespace tombolo::testing
