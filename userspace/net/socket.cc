// SPDX-License-Identifier: Apache-2.0
#include "net/socket.h"

#include <linux/sockios.h>
#include <linux/tcp.h>  // glibc's tcp_info ends before tcpi_bytes_acked
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/connect_race.h"

namespace tombolo::net {
namespace {

constexpr int kKeepAliveIdleSeconds = 30;
constexpr int kKeepAliveIntervalSeconds = 10;
constexpr int kKeepAliveProbes = 3;
// tcpi_state (include/net/tcp_states.h); <netinet/tcp.h> names them, but not beside linux/tcp.h.
constexpr std::uint8_t kTcpTimeWait = 6;
constexpr std::uint8_t kTcpClose = 7;

void SetInt(int fd, int level, int option, int value) {
  // A refused tuning option costs speed, never correctness.
  (void)setsockopt(fd, level, option, &value, sizeof(value));
}

}  // namespace

absl::StatusOr<Fd> TcpSocket(const SocketAddress& address) {
  const int family = address.ip.is_v4() ? AF_INET : AF_INET6;
  Fd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  return fd;
}

absl::StatusOr<Fd> Listen(const SocketAddress& address, int backlog) {
  ASSIGN_OR_RETURN(Fd fd, TcpSocket(address));
  SetInt(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (!address.ip.is_v4()) SetInt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  SetNoDelay(fd.get());  // what it accepts inherits that
  sockaddr_storage storage;
  const socklen_t size = address.ToSockaddr(storage);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0) {
    return ErrnoStatus(errno, absl::StrCat("bind ", address.ToString()));
  }
  if (listen(fd.get(), backlog) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listen on ", address.ToString()));
  }
  return fd;
}

absl::Status BindSource(int fd, const IpAddress& ip) {
  // Without it bind() would reserve a port for every destination at once.
  SetInt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  sockaddr_storage storage;
  const socklen_t size = SocketAddress{ip, 0}.ToSockaddr(storage);
  if (bind(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0) {
    return ErrnoStatus(errno, absl::StrCat("bind to ", ip.ToString()));
  }
  return absl::OkStatus();
}

Awaitable<absl::StatusOr<AsyncFd>> Connect(Poller& poller, Fd socket, SocketAddress address,
                                           MonotonicTime deadline) {
  CO_ASSIGN_OR_RETURN(AsyncFd fd, BeginConnect(poller, std::move(socket), address));
  if (absl::Status waited = co_await fd.WaitWritable(deadline); !waited.ok()) {
    co_return Annotate(waited, absl::StrCat("connect to ", address.ToString()));
  }
  CO_RETURN_IF_ERROR(EndConnect(fd, address));
  co_return fd;
}

Awaitable<absl::Status> SendAll(AsyncFd& fd, absl::string_view bytes, MonotonicTime deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      fd.ClearWritable();
      CO_RETURN_IF_ERROR(co_await fd.WaitWritable(deadline));
    } else if (errno != EINTR) {
      co_return ErrnoStatus(errno, "send");
    }
  }
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<Accepted>> Accept(AsyncFd& listener) {
  for (;;) {
    sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    Fd fd(accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                  SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.valid()) {
      Accepted accepted{std::move(fd), SocketAddress::FromSockaddr(peer)};
      co_return accepted;
    }
    if (errno == EAGAIN) {
      listener.ClearReadable();
      CO_RETURN_IF_ERROR(co_await listener.WaitReadable());
    } else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
      co_return ErrnoStatus(errno, "accept");
    }
  }
}

absl::StatusOr<std::pair<Fd, Fd>> LoopbackPair() {
  ASSIGN_OR_RETURN(const SocketAddress any, SocketAddress::Parse("127.0.0.1:0"));
  ASSIGN_OR_RETURN(const Fd listener, Listen(any, /*backlog=*/1));
  ASSIGN_OR_RETURN(const SocketAddress address, LocalAddress(listener.get()));
  ASSIGN_OR_RETURN(Fd client, TcpSocket(address));
  sockaddr_storage storage;
  const socklen_t size = address.ToSockaddr(storage);
  if (connect(client.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 &&
      errno != EINPROGRESS) {
    return ErrnoStatus(errno, absl::StrCat("connect to ", address.ToString()));
  }
  // Over loopback this is a matter of microseconds.
  constexpr int kPatienceMs = 1000;
  pollfd connected{.fd = client.get(), .events = POLLOUT, .revents = 0};
  pollfd acceptable{.fd = listener.get(), .events = POLLIN, .revents = 0};
  if (poll(&connected, 1, kPatienceMs) < 0 || poll(&acceptable, 1, kPatienceMs) < 0) {
    return ErrnoStatus(errno, "poll");
  }
  Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!server.valid()) return ErrnoStatus(errno, "accept");
  SetNoDelay(client.get());
  SetNoDelay(server.get());
  return std::pair(std::move(client), std::move(server));
}

absl::StatusOr<SocketAddress> PeerAddress(int fd) {
  sockaddr_storage storage;
  socklen_t size = sizeof(storage);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return ErrnoStatus(errno, "getpeername");
  }
  return SocketAddress::FromSockaddr(storage);
}

absl::StatusOr<SocketAddress> LocalAddress(int fd) {
  sockaddr_storage storage;
  socklen_t size = sizeof(storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return ErrnoStatus(errno, "getsockname");
  }
  return SocketAddress::FromSockaddr(storage);
}

void SetNoDelay(int fd) { SetInt(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

void SetKeepAlive(int fd) {
  SetInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  SetInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSeconds);
  SetInt(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
}

void DelayAcknowledgements(int fd) { SetInt(fd, IPPROTO_TCP, TCP_QUICKACK, 0); }

void ResetOnClose(int fd) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void CloseInOrder(int fd) {
  const linger in_order{.l_onoff = 0, .l_linger = 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &in_order, sizeof(in_order));
}

int TakeError(int fd) {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

absl::StatusOr<TcpState> ReadTcpState(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
    return ErrnoStatus(errno, "read TCP_INFO");
  }
  return TcpState{.round_trip = std::chrono::microseconds(info.tcpi_rtt),
                  .retransmits = info.tcpi_total_retrans};
}

absl::StatusOr<std::uint64_t> BytesGivenToTcp(int fd) {
  std::uint64_t acknowledged = 0;
  int unacknowledged = 0;
  for (bool again = false;; again = true) {
    tcp_info info{};
    socklen_t size = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
      return ErrnoStatus(errno, "read TCP_INFO");
    }
    if (info.tcpi_state == kTcpClose) return absl::UnavailableError("the connection is gone");
    // The one was read while the other did not change.
    if (again && info.tcpi_bytes_acked == acknowledged) break;
    acknowledged = info.tcpi_bytes_acked;
    if (ioctl(fd, SIOCOUTQ, &unacknowledged) != 0) return ErrnoStatus(errno, "read SIOCOUTQ");
  }
  return acknowledged + static_cast<std::uint64_t>(unacknowledged);
}

bool IsClosed(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
  return info.tcpi_state == kTcpClose || info.tcpi_state == kTcpTimeWait;
}

}  // namespace tombolo::net
