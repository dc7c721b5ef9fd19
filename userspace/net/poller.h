// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/time.h"

struct epoll_event;

namespace tombolo::net {

class Poller;

// Calls back once, at a point in time, on the poller's thread. It may be destroyed
// at any time, also from within the callback.
class Timer : public boost::intrusive::set_base_hook<
                  boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  Timer(Poller& poller, std::function<void()> callback)
      : poller_(poller), callback_(std::move(callback)) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void ExpireAt(MonotonicTime when);  // and at no time set before; kNoDeadline: never
  void Cancel() { unlink(); }
  Poller& poller() const { return poller_; }

 private:
  friend class Poller;
  friend bool operator<(const Timer& a, const Timer& b) { return a.when_ < b.when_; }

  Poller& poller_;
  std::function<void()> callback_;
  MonotonicTime when_ = kNoDeadline;
};

// Where one coroutine waits for another to wake it. No call allocates memory or
// enters the kernel.
class Waiter : public boost::intrusive::list_base_hook<
                   boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  enum class End { kWoken, kDeadline, kCancelled };

  explicit Waiter(Poller& poller) : timer_(poller, [this] { Finish(End::kDeadline); }) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter();

  // Suspends the calling coroutine until Wake(), the deadline, or its own
  // cancellation. One coroutine at a time.
  Awaitable<End> Wait(MonotonicTime deadline = kNoDeadline);
  // Suspends it until the loop's next turn.
  Awaitable<End> Yield();
  bool waiting() const { return run_ != nullptr && !is_linked(); }
  // Also when it has been woken and has not gone on yet.
  bool suspended() const { return run_ != nullptr; }
  // Lets it go on soon, not from within this call. Nothing if nobody waits.
  void Wake() { Finish(End::kWoken); }

 private:
  friend class Poller;
  static constexpr std::size_t kHandlerSize = 64;

  template <typename Handler>
  void Keep(Handler handler);
  void Finish(End end);
  void Resume();

  Timer timer_;
  End end_ = End::kWoken;
  // The suspended coroutine, which is Asio's handler in `handler_`; null: nobody waits.
  // Takes the handler away and, if told so, lets the coroutine go on.
  void (*run_)(Waiter& waiter, bool go_on) = nullptr;
  alignas(std::max_align_t) unsigned char handler_[kHandlerSize];
};

// What an epoll event is delivered to.
class EventSink {
 public:
  virtual void OnEvents(std::uint32_t events) = 0;

 protected:
  ~EventSink() = default;
};

// The event loop of one data-plane thread: an epoll of edge-triggered descriptors,
// timers, and the handlers that are posted to an io_context.
//
// Asio's own reactor re-arms its epoll on every async_wait, which costs a system
// call each time and spins on a socket that stays readable without making progress
// (a partial TLS record). So nothing on this io_context may use it: no Asio timer and
// no Asio socket. Then its poll() is free of system calls, and one epoll_wait() a
// turn is all that the loop costs.
//
// Every call is made on the thread that runs it, except Wake(). Every AsyncFd, Timer
// and Waiter must be gone before its Poller.
class Poller {
 public:
  static absl::StatusOr<std::unique_ptr<Poller>> Create(asio::io_context& io);
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  asio::io_context& io() { return io_; }

  void Run();  // until Stop()
  void Stop() { stopped_ = true; }
  // One turn: runs what is ready; if nothing is, waits for it until `deadline`.
  void RunOnce(MonotonicTime deadline);
  // Makes a loop that waits look at its io_context: after a post to io() from another
  // thread. Any thread.
  void Wake();

  std::uint64_t turns() const { return turns_; }  // how often it has looked

  // Edge-triggered `events` (epoll_ctl(2)) of `fd` go to `sink` from now on.
  absl::Status Watch(int fd, std::uint32_t events, EventSink* sink);
  void Unwatch(int fd);
  // Drops what this turn has not delivered to `sink` yet.
  void Forget(const EventSink* sink);

 private:
  friend class Timer;
  friend class Waiter;

  Poller(asio::io_context& io, Fd epoll, Fd wake);
  int Timeout(MonotonicTime deadline) const;
  void Dispatch(int timeout_ms);
  void Expire();
  bool RunReady();

  asio::io_context& io_;
  // Without it poll() would take a moment with nothing to run for the end of all work.
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  Fd epoll_;
  Fd wake_;  // an eventfd
  bool stopped_ = false;
  std::uint64_t turns_ = 0;
  boost::intrusive::multiset<Timer, boost::intrusive::constant_time_size<false>> timers_;
  boost::intrusive::list<Waiter, boost::intrusive::constant_time_size<false>> ready_;
  absl::Span<epoll_event> pending_;  // of this turn, not yet delivered
};

}  // namespace tombolo::net
