// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "base/asio.h"

namespace tombolo {

// Owns background coroutines, so that none outlives what it borrows. Every
// member runs on `executor`, which is one thread's. CancelAndJoin() before
// destroying: the destructor aborts while a task still runs.
class TaskGroup {
 public:
  explicit TaskGroup(asio::any_io_executor executor);
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  // Starts `task`: soon, or at once when called by a handler of the executor itself. A
  // task spawned after Cancel() is not cancelled. An exception that leaves a task ends
  // the process, except after Cancel(): Asio unwinds a cancelled coroutine by throwing from
  // its next co_await, even when the operations return their errors.
  void Spawn(Awaitable<void> task);

  // Waits until every task has ended. It needs no timer, so that it works on an
  // io_context whose reactor must not start (net::Poller).
  Awaitable<void> Join();

  // Asks every task to stop.
  void Cancel();
  Awaitable<void> CancelAndJoin();

  std::size_t size() const { return running_.size(); }

 private:
  asio::any_io_executor executor_;
  std::vector<std::function<void()>> joining_;  // resume who waits in Join()
  struct Task {
    asio::cancellation_signal signal;
    bool started = false;
    bool cancelled = false;  // before it has started
  };
  std::list<Task> running_;
  bool cancelled_ = false;
};

}  // namespace tombolo
