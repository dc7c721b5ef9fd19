// SPDX-License-Identifier: Apache-2.0
#include "net/async_fd.h"

#include <sys/epoll.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::net {

// One registered descriptor. Its address is the epoll cookie, so it never moves.
class AsyncFd::Watch final : public EventSink {
 public:
  struct Direction {
    void Wake() const {
      if (waiter != nullptr) waiter->Wake();
    }
    bool ready;
    bool cancelled = false;
    Waiter* waiter = nullptr;  // on the frame of the coroutine that waits
  };

  Watch(Poller& poller_in, Fd fd_in) : poller(poller_in), fd(std::move(fd_in)) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() {
    Close();
    poller.Forget(this);
  }

  // A duplicate elsewhere would keep the registration alive after close() (see
  // epoll(7), Q6), so a shared descriptor is taken out by hand.
  void Close() {
    if (shared && fd.valid()) poller.Unwatch(fd.get());
    fd.Close();
  }

  void OnEvents(std::uint32_t events) override {
    if (!fd.valid()) return;  // closed since epoll reported it
    if (events & (EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP)) short_means_empty = false;
    if (events & EPOLLERR) failed = true;
    if (events & (EPOLLERR | EPOLLHUP)) {
      hung_up = true;
      hang_up.ready = true;
      hang_up.Wake();
    }
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
      out.ready = true;
      out.Wake();
    }
    if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) {
      in.ready = true;
      in.Wake();
    }
    if (listener != nullptr) listener->OnEdge();  // it may destroy this watch
  }

  Awaitable<absl::Status> Wait(Direction& direction, MonotonicTime deadline) {
    // Woken and not ready: the listener has used it up.
    while (!direction.ready && !direction.cancelled && fd.valid()) {
      Waiter waiter(poller);
      direction.waiter = &waiter;
      const absl::Cleanup forget = [&direction] { direction.waiter = nullptr; };
      const Waiter::End end = co_await waiter.Wait(deadline);
      if (direction.ready || direction.cancelled) break;
      if (end == Waiter::End::kDeadline) co_return absl::DeadlineExceededError("timed out");
      if (end == Waiter::End::kCancelled) break;
    }
    if (std::exchange(direction.cancelled, false) || !direction.ready || !fd.valid()) {
      co_return absl::CancelledError("cancelled");
    }
    co_return absl::OkStatus();
  }

  void Cancel(Direction& direction) {
    // Somebody who was woken in this turn may find nothing and wait again.
    if (direction.waiter == nullptr) return;
    direction.cancelled = true;
    direction.Wake();
  }

  void WakeAll() {
    for (const Direction* direction : {&in, &out, &hang_up}) direction->Wake();
  }

  Poller& poller;
  Fd fd;
  bool shared = false;
  bool hung_up = false;
  bool failed = false;
  bool short_means_empty = true;
  Direction in{.ready = true};
  Direction out{.ready = true};
  Direction hang_up{.ready = false};
  EdgeListener* listener = nullptr;
};

AsyncFd::AsyncFd() = default;
AsyncFd::AsyncFd(AsyncFd&&) noexcept = default;
AsyncFd& AsyncFd::operator=(AsyncFd&&) noexcept = default;
AsyncFd::AsyncFd(std::unique_ptr<Watch> watch) : watch_(std::move(watch)) {}
AsyncFd::~AsyncFd() = default;

absl::StatusOr<AsyncFd> AsyncFd::Adopt(Poller& poller, Fd fd, bool exclusive) {
  auto watch = std::make_unique<Watch>(poller, std::move(fd));
  RETURN_IF_ERROR(poller.Watch(
      watch->fd.get(),
      exclusive ? EPOLLIN | EPOLLEXCLUSIVE : EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP,
      watch.get()));
  watch->shared = exclusive;
  return AsyncFd(std::move(watch));
}

int AsyncFd::get() const { return watch_ == nullptr ? -1 : watch_->fd.get(); }
Poller& AsyncFd::poller() const { return watch_->poller; }
bool AsyncFd::readable() const { return watch_->in.ready; }
bool AsyncFd::writable() const { return watch_->out.ready; }
void AsyncFd::ClearReadable() { watch_->in.ready = false; }
void AsyncFd::ClearReadableAfterShortRead() {
  if (watch_->short_means_empty) watch_->in.ready = false;
}
void AsyncFd::MarkReadable() { watch_->in.ready = true; }
void AsyncFd::ClearWritable() { watch_->out.ready = false; }
void AsyncFd::ClearHangUp() { watch_->hang_up.ready = false; }
bool AsyncFd::hung_up() const { return watch_->hung_up; }
bool AsyncFd::failed() const { return watch_->failed; }

Awaitable<absl::Status> AsyncFd::WaitReadable(MonotonicTime deadline) {
  return watch_->Wait(watch_->in, deadline);
}

Awaitable<absl::Status> AsyncFd::WaitWritable(MonotonicTime deadline) {
  return watch_->Wait(watch_->out, deadline);
}

Awaitable<absl::Status> AsyncFd::WaitHangUp(MonotonicTime deadline) {
  return watch_->Wait(watch_->hang_up, deadline);
}

void AsyncFd::CancelRead() { watch_->Cancel(watch_->in); }
void AsyncFd::CancelHangUp() { watch_->Cancel(watch_->hang_up); }

void AsyncFd::SetListener(EdgeListener* listener) { watch_->listener = listener; }

void AsyncFd::Close() {
  if (watch_ == nullptr) return;
  watch_->Close();
  watch_->WakeAll();
}

Fd AsyncFd::Release() {
  if (watch_ == nullptr) return Fd();
  watch_->poller.Unwatch(watch_->fd.get());
  Fd fd = std::move(watch_->fd);
  Close();
  return fd;
}

}  // namespace tombolo::net
