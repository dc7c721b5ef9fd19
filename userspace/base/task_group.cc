// SPDX-License-Identifier: Apache-2.0
#include "base/task_group.h"

#include <cstdlib>
#include <exception>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>

namespace tombolo {

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : executor_(executor), all_done_(executor, asio::steady_timer::time_point::max()) {}

TaskGroup::~TaskGroup() {
  if (!running_.empty()) std::abort();
}

void TaskGroup::Spawn(Awaitable<void> task) {
  auto self = running_.emplace(running_.end());
  auto on_end = [this, self](std::exception_ptr error) {
    if (error && !cancelled_) std::rethrow_exception(error);
    running_.erase(self);
    if (running_.empty()) all_done_.cancel();
  };
  asio::co_spawn(executor_, std::move(task),
                 asio::bind_cancellation_slot(self->slot(), std::move(on_end)));
}

Awaitable<bool> TaskGroup::Join(std::chrono::steady_clock::time_point deadline) {
  while (!running_.empty()) {
    all_done_.expires_at(deadline);
    auto [error] = co_await all_done_.async_wait(kUseTuple);
    if (!error) co_return running_.empty();  // NOLINT(bugprone-standalone-empty): co_return
  }
  co_return true;
}

Awaitable<void> TaskGroup::CancelAndJoin() {
  cancelled_ = true;
  for (auto task = running_.begin(); task != running_.end();) {
    (task++)->emit(asio::cancellation_type::terminal);
  }
  co_await Join(asio::steady_timer::time_point::max());
}

}  // namespace tombolo
