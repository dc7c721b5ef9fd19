// SPDX-License-Identifier: Apache-2.0
#include "watcher.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/status_macros.h"
#include "base/time.h"
#include "net/socket.h"
#include "usage.h"

namespace tombolo::bench {
namespace {

constexpr Duration kPatience = std::chrono::seconds(10);
constexpr unsigned kPauseUs = 200;

absl::StatusOr<std::uint64_t> BytesReceived(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
    return ErrnoStatus(errno, "read TCP_INFO");
  }
  return info.tcpi_bytes_received;
}

// No event tells that the kernel has sent on the last byte, so this asks again and again. `begun`
// is what BytesGivenToTcp was before the first.
absl::StatusOr<std::uint64_t> AwaitSentOn(const AgentLeg& leg, std::uint64_t begun) {
  const MonotonicTime deadline = After(kPatience);
  for (;;) {
    ASSIGN_OR_RETURN(const std::uint64_t received, BytesReceived(leg.application.get()));
    ASSIGN_OR_RETURN(const std::uint64_t given, net::BytesGivenToTcp(leg.next.get()));
    // The peer's FIN counts as a byte.
    if (given - begun + 1 >= received) return given - begun;
    if (std::chrono::steady_clock::now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(received, " bytes received, ", given - begun, " sent on"));
    }
    usleep(kPauseUs);
  }
}

absl::Status AwaitEnd(int fd) {
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLRDHUP;
  if (!epoll.valid() || epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoStatus(errno, "epoll");
  }
  while (epoll_wait(epoll.get(), &event, 1, -1) < 1) {
    if (errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Usage> RunWatcher(std::vector<AgentLeg> legs, absl::FunctionRef<void()> ready) {
  std::vector<std::uint64_t> begun;
  for (const AgentLeg& leg : legs) {
    ASSIGN_OR_RETURN(const std::uint64_t given, net::BytesGivenToTcp(leg.next.get()));
    begun.push_back(given);
  }
  ready();
  const Meter meter;
  Usage usage;
  for (std::size_t i = 0; i < legs.size(); ++i) {
    RETURN_IF_ERROR(AwaitEnd(legs[i].application.get()));
    ASSIGN_OR_RETURN(const std::uint64_t moved, AwaitSentOn(legs[i], begun[i]));
    usage.bytes += moved;
    shutdown(legs[i].next.get(), SHUT_WR);
    RETURN_IF_ERROR(AwaitEnd(legs[i].next.get()));
    shutdown(legs[i].application.get(), SHUT_WR);
  }
  meter.AddTo(usage);
  return usage;
}

}  // namespace tombolo::bench
