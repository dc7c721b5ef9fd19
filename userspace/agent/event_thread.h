// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include <boost/asio/async_result.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "net/poller.h"

namespace tombolo::agent {

// A data-plane thread's event loop. What lives on it is reached from other threads only by Post()
// and Ask(), and destroyed between Join() and this.
class EventThread {
 public:
  static absl::StatusOr<std::unique_ptr<EventThread>> Create();
  EventThread(const EventThread&) = delete;
  EventThread& operator=(const EventThread&) = delete;
  ~EventThread() { Join(); }

  // It stays in the network namespace of the caller.
  void Start();
  // Runs `farewell` on the thread, and then ends it. Later calls do nothing. The thread that has
  // started it calls this and Join().
  void Stop(std::function<Awaitable<void>()> farewell);
  void Join();

  // Runs `task` on the thread, in the order of the calls.
  void Post(std::function<void()> task);
  // The same, and waits for its value on the caller's executor.
  template <typename T>
  Awaitable<T> Ask(std::function<T()> question);

  asio::io_context& io() { return io_; }
  net::Poller& poller() { return *poller_; }

 private:
  EventThread() = default;
  void Run();

  asio::io_context io_{1};
  std::unique_ptr<net::Poller> poller_;
  bool stopping_ = false;
  std::thread thread_;
};

template <typename T>
Awaitable<T> EventThread::Ask(std::function<T()> question) {
  const auto here = co_await asio::this_coro::executor;
  // Named, not written inside the co_await: g++ 12 destroys a lambda's captures there
  // twice.
  auto ask = [&](auto handler) {
    auto answer = std::make_shared<decltype(handler)>(std::move(handler));
    Post([&question, here, answer] {
      asio::post(here,
                 [answer, value = question()]() mutable { std::move (*answer)(std::move(value)); });
    });
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(T)>(
      ask, asio::use_awaitable);
}

}  // namespace tombolo::agent
