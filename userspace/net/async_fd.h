// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/time.h"
#include "net/poller.h"

namespace tombolo::net {

// Told of every edge of a descriptor, in the loop's own turn and never from within a
// call, once the AsyncFd knows of it and whoever waits has been woken.
class EdgeListener {
 public:
  virtual void OnEdge() = 0;  // it may destroy the AsyncFd

 protected:
  ~EdgeListener() = default;
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
  // After a read from a TCP socket that returned fewer bytes than it was given room
  // for: nothing is left (epoll(7)), so that the call that would say EAGAIN can be
  // saved. Does nothing once the stream's end, which has no second edge, or urgent
  // data, at which a read stops short, has been reported.
  void ClearReadableAfterShortRead();
  // For the next reader, after somebody has looked without taking (MSG_PEEK): what
  // was seen gives no second edge.
  void MarkReadable();
  void ClearWritable();
  void ClearHangUp();
  // The peer reset the connection, or both directions have ended (EPOLLERR, EPOLLHUP).
  bool hung_up() const;
  // There was an error to take (EPOLLERR, SO_ERROR): of a connection, its reset.
  bool failed() const;

  // OK when the descriptor may have become ready (or has hung up),
  // DeadlineExceeded after `deadline`, Cancelled after Cancel().
  Awaitable<absl::Status> WaitReadable(MonotonicTime deadline = kNoDeadline);
  Awaitable<absl::Status> WaitWritable(MonotonicTime deadline = kNoDeadline);
  Awaitable<absl::Status> WaitHangUp(MonotonicTime deadline = kNoDeadline);

  // Ends pending waits with Cancelled; no byte is lost. Waits begun later work.
  void CancelRead();
  void CancelHangUp();

  // Who is told of edges from now on; null: nobody. This is how what idles is watched
  // without a coroutine. It outlives this object, or is taken away first.
  void SetListener(EdgeListener* listener);

  // Closes the descriptor now and wakes waiters with Cancelled.
  void Close();
  // Gives the descriptor back, unregistered.
  Fd Release();

 private:
  class Watch;
  explicit AsyncFd(std::unique_ptr<Watch> watch);
  std::unique_ptr<Watch> watch_;
};

}  // namespace tombolo::net
