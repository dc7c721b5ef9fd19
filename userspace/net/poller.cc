// SPDX-License-Identifier: Apache-2.0
#include "net/poller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>
#include <new>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>

#include "base/errno_status.h"

namespace tombolo::net {
namespace {

constexpr int kEventsPerTurn = 256;

}  // namespace

void Timer::ExpireAt(MonotonicTime when) {
  Cancel();
  when_ = when;
  if (when != kNoDeadline) poller_.timers_.insert(*this);
}

Waiter::~Waiter() {
  if (run_ != nullptr) run_(*this, /*go_on=*/false);
}

template <typename Handler>
void Waiter::Keep(Handler handler) {
  static_assert(sizeof(Handler) <= kHandlerSize && alignof(Handler) <= alignof(std::max_align_t));
  auto slot = asio::get_associated_cancellation_slot(handler);
  if (slot.is_connected()) {
    slot.assign([this](asio::cancellation_type) { Finish(End::kCancelled); });
  }
  new (handler_) Handler(std::move(handler));
  run_ = [](Waiter& waiter, bool go_on) {
    auto* const kept = std::launder(reinterpret_cast<Handler*>(waiter.handler_));
    Handler moved = std::move(*kept);
    kept->~Handler();
    waiter.run_ = nullptr;
    // The coroutine may destroy the waiter.
    if (go_on) std::move(moved)(waiter.end_);
  };
}

Awaitable<Waiter::End> Waiter::Wait(MonotonicTime deadline) {
  timer_.ExpireAt(deadline);
  return asio::async_initiate<const asio::use_awaitable_t<>, void(End)>(
      [this](auto handler) { Keep(std::move(handler)); }, asio::use_awaitable);
}

Awaitable<Waiter::End> Waiter::Yield() {
  return asio::async_initiate<const asio::use_awaitable_t<>, void(End)>(
      [this](auto handler) {
        Keep(std::move(handler));
        Wake();
      },
      asio::use_awaitable);
}

void Waiter::Finish(End end) {
  if (!waiting()) return;
  timer_.Cancel();
  end_ = end;
  timer_.poller().ready_.push_back(*this);
}

void Waiter::Resume() { run_(*this, /*go_on=*/true); }

absl::StatusOr<std::unique_ptr<Poller>> Poller::Create(asio::io_context& io) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus(errno, "eventfd");
  auto poller = std::unique_ptr<Poller>(new Poller(io, std::move(epoll), std::move(wake)));
  // Every write is an edge, so nobody needs to read it.
  absl::Status watched = poller->Watch(poller->wake_.get(), EPOLLIN, /*sink=*/nullptr);
  if (!watched.ok()) return watched;
  return poller;
}

Poller::Poller(asio::io_context& io, Fd epoll, Fd wake)
    : io_(io), epoll_(std::move(epoll)), wake_(std::move(wake)) {}

void Poller::Wake() {
  const std::uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof(one)) == sizeof(one)) return;
  // After 2^64 - 2 calls the counter is full: reading it starts it again.
  std::uint64_t count = 0;
  (void)!read(wake_.get(), &count, sizeof(count));
  (void)!write(wake_.get(), &one, sizeof(one));
}

absl::Status Poller::Watch(int fd, std::uint32_t events, EventSink* sink) {
  epoll_event event{};
  event.events = events | EPOLLET;
  event.data.ptr = sink;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  return absl::OkStatus();
}

void Poller::Unwatch(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void Poller::Run() {
  while (!stopped_) RunOnce(kNoDeadline);
}

void Poller::RunOnce(MonotonicTime deadline) {
  ++turns_;
  const bool posted = io_.poll() > 0;
  const bool resumed = RunReady();
  // What has just run may have posted more, woken others or stopped the loop.
  Dispatch(posted || resumed || stopped_ ? 0 : Timeout(deadline));
  Expire();
  RunReady();
}

// In milliseconds, rounded up so that a timer has expired when epoll_wait returns.
int Poller::Timeout(MonotonicTime deadline) const {
  if (!timers_.empty()) deadline = std::min(deadline, timers_.begin()->when_);
  if (deadline == kNoDeadline) return -1;
  const auto left = deadline - std::chrono::steady_clock::now();
  const auto count = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(count, 0, std::numeric_limits<int>::max()));
}

void Poller::Dispatch(int timeout_ms) {
  epoll_event events[kEventsPerTurn];
  const int count = epoll_wait(epoll_.get(), events, kEventsPerTurn, timeout_ms);
  pending_ = absl::MakeSpan(events, count < 0 ? 0 : count);
  while (!pending_.empty()) {
    const epoll_event event = pending_.front();
    pending_.remove_prefix(1);
    if (event.data.ptr != nullptr) static_cast<EventSink*>(event.data.ptr)->OnEvents(event.events);
  }
}

void Poller::Forget(const EventSink* sink) {
  for (epoll_event& event : pending_) {
    if (event.data.ptr == sink) event.data.ptr = nullptr;
  }
}

void Poller::Expire() {
  if (timers_.empty()) return;
  const MonotonicTime now = std::chrono::steady_clock::now();
  while (!timers_.empty() && timers_.begin()->when_ <= now) {
    Timer& timer = *timers_.begin();
    timer.Cancel();
    const auto callback = timer.callback_;  // it may destroy the timer
    callback();
  }
}

// Those that become ready meanwhile wait for the next turn, so that two that wake
// each other do not keep the sockets from theirs.
bool Poller::RunReady() {
  decltype(ready_) turn;
  turn.swap(ready_);
  const bool any = !turn.empty();
  while (!turn.empty()) {
    Waiter& waiter = turn.front();
    turn.pop_front();
    waiter.Resume();
  }
  return any;
}

}  // namespace tombolo::net
