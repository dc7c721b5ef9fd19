// SPDX-License-Identifier: Apache-2.0
#include "base/task_group.h"

#include <cstdlib>
#include <exception>
#include <memory>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

namespace tombolo {

namespace {

Awaitable<void> Nothing() { co_return; }

}  // namespace

TaskGroup::TaskGroup(asio::any_io_executor executor) : executor_(std::move(executor)) {}

TaskGroup::~TaskGroup() {
  if (!running_.empty()) std::abort();
}

void TaskGroup::Spawn(Awaitable<void> task) {
  auto self = running_.emplace(running_.end());
  auto on_end = [this, self](std::exception_ptr error) {
    if (error && !cancelled_) std::rethrow_exception(error);
    running_.erase(self);
    if (running_.empty()) {
      for (auto& resume : std::exchange(joining_, {})) asio::post(executor_, std::move(resume));
    }
  };
  // Asio ends the process over a coroutine that is cancelled before it has started.
  auto start = [self, task = std::move(task)]() mutable {
    self->started = true;
    return self->cancelled ? Nothing() : std::move(task);
  };
  asio::co_spawn(executor_, std::move(start),
                 asio::bind_cancellation_slot(self->signal.slot(), std::move(on_end)));
}

Awaitable<void> TaskGroup::Join() {
  auto join = [this](auto handler) {
    auto kept = std::make_shared<decltype(handler)>(std::move(handler));
    joining_.push_back([kept] { std::move (*kept)(); });
  };
  while (!running_.empty()) {
    co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(join, asio::use_awaitable);
  }
}

void TaskGroup::Cancel() {
  cancelled_ = true;
  for (auto task = running_.begin(); task != running_.end();) {
    Task& next = *task++;
    next.cancelled = !next.started;
    if (next.started) next.signal.emit(asio::cancellation_type::terminal);
  }
}

Awaitable<void> TaskGroup::CancelAndJoin() {
  Cancel();
  co_await Join();
}

}  // namespace tombolo
