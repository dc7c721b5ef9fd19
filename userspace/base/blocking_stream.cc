// SPDX-License-Identifier: Apache-2.0
#include "base/blocking_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/resolve.h"
#include "base/status_macros.h"
#include "base/tcp_segment.h"

namespace tombolo {
namespace {

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// In milliseconds for poll(), rounded up, so that it does not come back too early.
int Remaining(MonotonicTime deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000));
}

absl::Status WaitFor(int fd, short events, MonotonicTime deadline, absl::string_view what) {
  for (;;) {
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    const int ready = poll(&entry, 1, Remaining(deadline));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, what);
    if (std::chrono::steady_clock::now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat(what, ": no answer in time"));
    }
  }
}

class TcpStream : public BlockingStream {
 public:
  explicit TcpStream(Fd socket) : socket_(std::move(socket)) {}

  absl::Status Send(absl::string_view bytes, MonotonicTime deadline) override {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (WouldBlock(errno)) {
        RETURN_IF_ERROR(WaitFor(socket_.get(), POLLOUT, deadline, "send"));
      } else if (errno != EINTR) {
        return ErrnoStatus(errno, "send");
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::size_t> Receive(absl::Span<char> into, MonotonicTime deadline) override {
    for (;;) {
      const ssize_t got = recv(socket_.get(), into.data(), into.size(), 0);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (WouldBlock(errno)) {
        RETURN_IF_ERROR(WaitFor(socket_.get(), POLLIN, deadline, "receive"));
      } else if (errno != EINTR) {
        return ErrnoStatus(errno, "receive");
      }
    }
  }

  absl::Status Wait(MonotonicTime deadline) override {
    return WaitFor(socket_.get(), POLLIN, deadline, "receive");
  }

  bool Quiet() const override {
    char byte = 0;
    return recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && WouldBlock(errno);
  }

  // Wakes poll(), too; the descriptor stays, so that no other one can get its number.
  void Abort() override { (void)shutdown(socket_.get(), SHUT_RDWR); }

 private:
  const Fd socket_;
};

void SetOption(int fd, int level, int option, int value) {
  (void)setsockopt(fd, level, option, &value, sizeof(value));
}

void SetOptions(int fd) {
  // What is sent is whole requests: nothing to gain from waiting for more.
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // 10 s of silence, then three questions 5 s apart.
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  LimitSegments(fd);
}

absl::StatusOr<Fd> ConnectTo(const SocketAddress& address, MonotonicTime deadline) {
  Fd socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoStatus(errno, "socket");
  SetOptions(socket.get());
  const auto* raw = reinterpret_cast<const sockaddr*>(&address.storage);
  if (connect(socket.get(), raw, address.size) == 0) return socket;
  if (errno != EINPROGRESS && errno != EINTR) return ErrnoStatus(errno, "connect");
  RETURN_IF_ERROR(WaitFor(socket.get(), POLLOUT, deadline, "connect"));
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return ErrnoStatus(error, "connect");
  return socket;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockingStream>> ConnectTcp(const std::string& host,
                                                           std::uint16_t port,
                                                           MonotonicTime deadline) {
  ASSIGN_OR_RETURN(const std::vector<SocketAddress> addresses, Resolve(host, port, deadline));
  absl::Status failure;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // One address that is silent leaves the others their share of the time.
    const auto left = deadline - std::chrono::steady_clock::now();
    const auto share = left / static_cast<Duration::rep>(addresses.size() - i);
    absl::StatusOr<Fd> socket = ConnectTo(addresses[i], After(share));
    if (socket.ok()) return std::make_unique<TcpStream>(*std::move(socket));
    failure = socket.status();
  }
  return failure;
}

}  // namespace tombolo
