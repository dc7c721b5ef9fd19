// SPDX-License-Identifier: Apache-2.0
#include "net/connect_race.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::net {
namespace {

std::string What(const SocketAddress& address) {
  return absl::StrCat("connect to ", address.ToString());
}

}  // namespace

absl::StatusOr<AsyncFd> BeginConnect(Poller& poller, Fd socket, const SocketAddress& address) {
  SetNoDelay(socket.get());
  sockaddr_storage storage;
  const socklen_t size = address.ToSockaddr(storage);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 &&
      errno != EINPROGRESS) {
    return ErrnoStatus(errno, What(address));
  }
  ASSIGN_OR_RETURN(AsyncFd fd, AsyncFd::Adopt(poller, std::move(socket)));
  fd.ClearReadable();
  // Registration reports a socket that is already connected as writable.
  fd.ClearWritable();
  return fd;
}

absl::Status EndConnect(AsyncFd& socket, const SocketAddress& address) {
  const int error = socket.hung_up() ? TakeError(socket.get()) : 0;
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, What(address));
}

ConnectRace::~ConnectRace() {
  for (Runner& runner : runners_) runner.socket.SetListener(nullptr);
}

absl::Status ConnectRace::Begin(std::size_t number, Fd socket, const SocketAddress& address,
                                MonotonicTime deadline) {
  ASSIGN_OR_RETURN(AsyncFd fd, BeginConnect(poller_, std::move(socket), address));
  runners_.push_back({number, address, deadline, std::move(fd)});
  runners_.back().socket.SetListener(this);
  return absl::OkStatus();
}

void ConnectRace::OnEdge() {
  if (waiter_ != nullptr) waiter_->Wake();
}

ConnectRace::Runner ConnectRace::Take(std::list<Runner>::iterator at) {
  Runner runner = std::move(*at);
  runners_.erase(at);
  runner.socket.SetListener(nullptr);
  return runner;
}

std::optional<ConnectRace::Arrival> ConnectRace::TakeArrived(MonotonicTime now) {
  for (auto at = runners_.begin(); at != runners_.end(); ++at) {
    const bool answered = at->socket.writable();
    if (!answered && now < at->deadline) continue;
    Arrival arrival{Take(at), absl::OkStatus()};
    Runner& runner = arrival.runner;
    if (answered) {
      arrival.status = EndConnect(runner.socket, runner.address);
    } else {
      arrival.status =
          absl::DeadlineExceededError(absl::StrCat(What(runner.address), ": timed out"));
    }
    return arrival;
  }
  return std::nullopt;
}

Awaitable<absl::StatusOr<std::optional<ConnectRace::Arrival>>> ConnectRace::Next(
    MonotonicTime until) {
  for (;;) {
    const MonotonicTime now = std::chrono::steady_clock::now();
    std::optional<Arrival> arrival = TakeArrived(now);
    if (arrival || runners_.empty() || now >= until) co_return arrival;
    MonotonicTime next = until;
    for (const Runner& runner : runners_) next = std::min(next, runner.deadline);
    Waiter waiter(poller_);
    waiter_ = &waiter;
    const absl::Cleanup forget = [this] { waiter_ = nullptr; };
    const Waiter::End end = co_await waiter.Wait(next);
    if (end == Waiter::End::kCancelled) co_return absl::CancelledError("cancelled");
  }
}

std::vector<ConnectRace::Runner> ConnectRace::TakeRest() {
  std::vector<Runner> rest;
  while (!runners_.empty()) rest.push_back(Take(runners_.begin()));
  return rest;
}

}  // namespace tombolo::net
