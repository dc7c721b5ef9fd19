// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/time.h"

struct epoll_event;

namespace tombolo::net {

// Edge-triggered readiness for the sockets of one data-plane thread.
//
// Asio re-arms its epoll on every async_wait, which costs a system call each
// time and spins on a socket that stays readable without making progress (a
// partial TLS record). Here each socket is registered once, with EPOLLET, in an
// epoll of our own; Asio only watches that epoll's descriptor.
//
// Owned by the thread that runs `io`; every call is made on it. Every AsyncFd
// must be gone before its Poller.
class Poller {
 public:
  static absl::StatusOr<std::unique_ptr<Poller>> Create(asio::io_context& io);
  ~Poller();
  asio::io_context& io() { return io_; }

 private:
  friend class AsyncFd;
  struct Watch;
  Poller(asio::io_context& io, Fd epoll);
  void Arm();
  void Dispatch();
  void Forget(const Watch* watch);

  asio::io_context& io_;
  asio::posix::stream_descriptor epoll_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
  absl::Span<epoll_event> pending_;  // events of this wake-up not yet delivered
};

// A non-blocking descriptor and what is known of its readiness.
//
//   for (;;) {
//     ssize_t n = read(fd.get(), ...);
//     if (n >= 0 || errno != EAGAIN) break;
//     fd.ClearReadable();
//     CO_RETURN_IF_ERROR(co_await fd.WaitReadable(deadline));
//   }
//
// At most one coroutine waits for each direction. Destroying it closes the
// descriptor; no coroutine may then be waiting on it.
class AsyncFd {
 public:
  AsyncFd();
  AsyncFd(AsyncFd&&) noexcept;
  AsyncFd& operator=(AsyncFd&&) noexcept;
  ~AsyncFd();

  // Takes `fd`, which must already be non-blocking. `exclusive` is for a
  // listener that several threads watch, each through a duplicate of it
  // (EPOLLEXCLUSIVE).
  static absl::StatusOr<AsyncFd> Adopt(Poller& poller, Fd fd, bool exclusive = false);

  int get() const;
  bool valid() const { return watch_ != nullptr; }
  Poller& poller() const;

  // True until a call has said EAGAIN (ClearReadable) and no edge came since.
  bool readable() const;
  bool writable() const;
  void ClearReadable();
  // For the next reader, after somebody has looked without taking (MSG_PEEK): what
  // was seen gives no second edge.
  void MarkReadable();
  void ClearWritable();
  void ClearHangUp();
  // The peer reset the connection, or both directions have ended (EPOLLERR, EPOLLHUP).
  bool hung_up() const;

  // OK when the descriptor may have become ready (or has hung up),
  // DeadlineExceeded after `deadline`, Cancelled after Cancel().
  Awaitable<absl::Status> WaitReadable(MonotonicTime deadline = kNoDeadline);
  Awaitable<absl::Status> WaitWritable(MonotonicTime deadline = kNoDeadline);
  Awaitable<absl::Status> WaitHangUp(MonotonicTime deadline = kNoDeadline);

  // Ends pending waits with Cancelled; no byte is lost. Waits begun later work.
  void CancelRead();
  void CancelHangUp();

  // Calls `callback` on every edge for reading while no coroutine waits for one;
  // null stops it. It may destroy this object. This is how an idle tunnel is
  // watched without a coroutine.
  void OnReadable(std::function<void()> callback);

  // Closes the descriptor now and wakes waiters with Cancelled.
  void Close();
  // Gives the descriptor back, unregistered.
  Fd Release();

 private:
  explicit AsyncFd(std::unique_ptr<Poller::Watch> watch);
  std::unique_ptr<Poller::Watch> watch_;
};

}  // namespace tombolo::net
