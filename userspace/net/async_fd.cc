// SPDX-License-Identifier: Apache-2.0
#include "net/async_fd.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/errno_status.h"

namespace tombolo::net {
namespace {

constexpr int kEventsPerWake = 256;

}  // namespace

// One registered descriptor. Its address is the epoll cookie, so it never moves.
struct Poller::Watch {
  // One direction. The timer is both the deadline and the wake-up: cancelling
  // it completes the wait.
  struct Direction {
    bool ready = true;
    bool waiting = false;
    bool cancelled = false;
    std::optional<asio::steady_timer> timer;

    void Wake() {
      if (waiting) timer->cancel();
    }
  };

  Poller& poller;
  Fd fd;
  bool shared = false;
  bool hung_up = false;
  Direction in, out, hang_up;
  std::function<void()> on_readable;

  Watch(Poller& poller_in, Fd fd_in) : poller(poller_in), fd(std::move(fd_in)) {
    hang_up.ready = false;
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() {
    Close();
    poller.Forget(this);
  }

  // A duplicate elsewhere would keep the registration alive after close() (see
  // epoll(7), Q6), so a shared descriptor is taken out by hand.
  void Close() {
    if (shared && fd.valid()) Unregister();
    fd.Close();
  }
  void Unregister() { epoll_ctl(poller.epoll_.native_handle(), EPOLL_CTL_DEL, fd.get(), nullptr); }

  void OnEvents(std::uint32_t events) {
    if (!fd.valid()) return;  // closed since epoll reported it
    if (events & (EPOLLERR | EPOLLHUP)) {
      hung_up = true;
      hang_up.ready = true;
      hang_up.Wake();
    }
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
      out.ready = true;
      out.Wake();
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) {
      in.ready = true;
      if (in.waiting) {
        in.Wake();
      } else if (on_readable) {
        auto callback = on_readable;  // it may destroy this watch
        callback();
      }
    }
  }

  Awaitable<absl::Status> Wait(Direction& direction, MonotonicTime deadline) {
    while (!direction.ready && !direction.cancelled && fd.valid()) {
      if (!direction.timer) direction.timer.emplace(poller.io_);
      direction.timer->expires_at(deadline);
      direction.waiting = true;
      auto [error] = co_await direction.timer->async_wait(kUseTuple);
      direction.waiting = false;
      if (!error && !direction.ready && !direction.cancelled && fd.valid()) {
        co_return absl::DeadlineExceededError("timed out");
      }
      // A cancelled timer: an edge (ready), CancelRead(), or the coroutine's own
      // cancellation, which must not loop.
      if (!direction.ready) break;
    }
    if (std::exchange(direction.cancelled, false) || !fd.valid() || !direction.ready) {
      co_return absl::CancelledError("cancelled");
    }
    co_return absl::OkStatus();
  }

  void Cancel(Direction& direction) {
    if (!direction.waiting) return;
    direction.cancelled = true;
    direction.Wake();
  }
};

absl::StatusOr<std::unique_ptr<Poller>> Poller::Create(asio::io_context& io) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  auto poller = std::unique_ptr<Poller>(new Poller(io, std::move(epoll)));
  poller->Arm();
  return poller;
}

Poller::Poller(asio::io_context& io, Fd epoll) : io_(io), epoll_(io, epoll.Release()) {}

Poller::~Poller() = default;

void Poller::Arm() {
  epoll_.async_wait(asio::posix::stream_descriptor::wait_read,
                    [this, alive = std::weak_ptr<void>(alive_)](boost::system::error_code error) {
                      // A wait that was over already ends without an error even when
                      // the Poller has gone meanwhile.
                      if (error || alive.expired()) return;
                      Dispatch();
                      Arm();
                    });
}

void Poller::Dispatch() {
  epoll_event events[kEventsPerWake];
  const int count = epoll_wait(epoll_.native_handle(), events, kEventsPerWake, /*timeout=*/0);
  pending_ = absl::MakeSpan(events, count < 0 ? 0 : count);
  while (!pending_.empty()) {
    const epoll_event event = pending_.front();
    pending_.remove_prefix(1);
    if (event.data.ptr != nullptr) static_cast<Watch*>(event.data.ptr)->OnEvents(event.events);
  }
}

void Poller::Forget(const Watch* watch) {
  for (epoll_event& event : pending_) {
    if (event.data.ptr == watch) event.data.ptr = nullptr;
  }
}

AsyncFd::AsyncFd() = default;
AsyncFd::AsyncFd(AsyncFd&&) noexcept = default;
AsyncFd& AsyncFd::operator=(AsyncFd&&) noexcept = default;
AsyncFd::AsyncFd(std::unique_ptr<Poller::Watch> watch) : watch_(std::move(watch)) {}
AsyncFd::~AsyncFd() = default;

absl::StatusOr<AsyncFd> AsyncFd::Adopt(Poller& poller, Fd fd, bool exclusive) {
  const int raw = fd.get();
  auto watch = std::make_unique<Poller::Watch>(poller, std::move(fd));
  epoll_event event{};
  event.events =
      exclusive ? EPOLLIN | EPOLLET | EPOLLEXCLUSIVE : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = watch.get();
  if (epoll_ctl(poller.epoll_.native_handle(), EPOLL_CTL_ADD, raw, &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  watch->shared = exclusive;
  return AsyncFd(std::move(watch));
}

int AsyncFd::get() const { return watch_ == nullptr ? -1 : watch_->fd.get(); }
Poller& AsyncFd::poller() const { return watch_->poller; }
bool AsyncFd::readable() const { return watch_->in.ready; }
bool AsyncFd::writable() const { return watch_->out.ready; }
// After a hang-up no further edge need come: the socket stays "ready" and says
// what happened when it is used.
void AsyncFd::ClearReadable() { watch_->in.ready = false; }
void AsyncFd::MarkReadable() { watch_->in.ready = true; }
void AsyncFd::ClearWritable() { watch_->out.ready = false; }
bool AsyncFd::hung_up() const { return watch_->hung_up; }

Awaitable<absl::Status> AsyncFd::WaitReadable(MonotonicTime deadline) {
  return watch_->Wait(watch_->in, deadline);
}

Awaitable<absl::Status> AsyncFd::WaitWritable(MonotonicTime deadline) {
  return watch_->Wait(watch_->out, deadline);
}

Awaitable<absl::Status> AsyncFd::WaitHangUp(MonotonicTime deadline) {
  return watch_->Wait(watch_->hang_up, deadline);
}

void AsyncFd::ClearHangUp() { watch_->hang_up.ready = false; }
void AsyncFd::CancelRead() { watch_->Cancel(watch_->in); }
void AsyncFd::CancelHangUp() { watch_->Cancel(watch_->hang_up); }

void AsyncFd::OnReadable(std::function<void()> callback) {
  watch_->on_readable = std::move(callback);
}

void AsyncFd::Close() {
  if (watch_ == nullptr) return;
  watch_->Close();
  watch_->in.Wake();
  watch_->out.Wake();
  watch_->hang_up.Wake();
}

Fd AsyncFd::Release() {
  if (watch_ == nullptr) return Fd();
  watch_->Unregister();
  Fd fd = std::move(watch_->fd);
  Close();
  return fd;
}

}  // namespace tombolo::net
