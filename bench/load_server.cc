// SPDX-License-Identifier: Apache-2.0
#include "load_server.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <endian.h>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::bench {
namespace {

constexpr std::size_t kBufferSize = std::size_t{256} << 10;
// Reads and writes for one connection before the others of its thread have a turn.
constexpr int kTurn = 16;

using Buffer = std::vector<char>;

enum class Next { kRead, kWrite, kClose };

// What is left to do for one connection; level-triggered readiness calls it.
class Connection {
 public:
  Connection(Fd fd, const ServerOptions& options)
      : fd_(std::move(fd)), mode_(options.mode), preamble_(options.preamble) {}

  Next OnReady(Buffer& scratch) {
    if (begun_ < preamble_.size()) {
      const std::optional<Next> early = ReadPreamble(scratch);
      if (early) return *early;
    }
    if (mode_ == ServerMode::kSink) return Sink(scratch);
    if (mode_ == ServerMode::kSource) return Source(scratch);
    return Echo(scratch);
  }

  int fd() const { return fd_.get(); }
  Next waits_for() const { return waits_for_; }
  void set_waits_for(Next next) { waits_for_ = next; }

 private:
  // Bytes, 0 at the end, nothing when it would block, -1 when it is broken.
  std::optional<ssize_t> Receive(char* data, std::size_t size) {
    const ssize_t n = recv(fd(), data, size, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    return n;
  }
  std::optional<ssize_t> Send(const char* data, std::size_t size) {
    const ssize_t n = send(fd(), data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    return n;
  }

  // Not set: all of it is there, and nothing of what follows has been read.
  std::optional<Next> ReadPreamble(Buffer& scratch) {
    const std::size_t left = preamble_.size() - begun_;
    const auto n = Receive(scratch.data(), std::min(left, scratch.size()));
    if (!n) return Next::kRead;
    if (*n <= 0 || preamble_.compare(begun_, *n, scratch.data(), *n) != 0) return Next::kClose;
    begun_ += *n;
    if (begun_ < preamble_.size()) return Next::kRead;
    return std::nullopt;
  }

  Next Sink(Buffer& scratch) {
    for (int i = 0; i < kTurn; ++i) {
      const auto n = Receive(scratch.data(), scratch.size());
      if (!n) return Next::kRead;
      if (*n < 0) return Next::kClose;
      count_ += *n;
      if (*n > 0) continue;
      // Nothing was sent before, so that eight bytes always fit the socket's buffer.
      const std::uint64_t answer = htobe64(count_);
      Send(reinterpret_cast<const char*>(&answer), sizeof answer);
      return Next::kClose;
    }
    return Next::kRead;
  }

  Next Source(Buffer& scratch) {
    const auto ask = Receive(request_.data() + asked_, request_.size() - asked_);
    if (asked_ < kCountSize) {
      if (!ask) return Next::kRead;
      if (*ask <= 0) return Next::kClose;
      asked_ += *ask;
      if (asked_ < kCountSize) return Next::kRead;
      std::memcpy(&count_, request_.data(), kCountSize);
      count_ = be64toh(count_);
      unlimited_ = count_ == 0;
    } else if (ask) {
      return Next::kClose;  // the client's end, or more than a request
    }
    for (int i = 0; i < kTurn; ++i) {
      const std::size_t size =
          unlimited_ ? scratch.size() : std::min<std::uint64_t>(scratch.size(), count_);
      if (size == 0) return Next::kClose;
      const auto n = Send(scratch.data(), size);
      if (!n) return Next::kWrite;
      if (*n < 0) return Next::kClose;
      if (!unlimited_) count_ -= *n;
    }
    return Next::kWrite;
  }

  Next Echo(Buffer& scratch) {
    if (!unsent_.empty()) {
      const auto n = Send(unsent_.data(), unsent_.size());
      if (!n) return Next::kWrite;
      if (*n < 0) return Next::kClose;
      unsent_.erase(unsent_.begin(), unsent_.begin() + *n);
      return unsent_.empty() ? Next::kRead : Next::kWrite;
    }
    const auto n = Receive(scratch.data(), scratch.size());
    if (!n) return Next::kRead;
    if (*n <= 0) return Next::kClose;
    const auto sent = Send(scratch.data(), *n);
    if (sent && *sent < 0) return Next::kClose;
    if (sent.value_or(0) == *n) return Next::kRead;
    unsent_.assign(scratch.data() + sent.value_or(0), scratch.data() + *n);
    return Next::kWrite;
  }

  Fd fd_;
  const ServerMode mode_;
  const std::string& preamble_;
  std::size_t begun_ = 0;  // bytes of the preamble that have come
  Next waits_for_ = Next::kRead;
  std::uint64_t count_ = 0;  // sink: received; source: still to send
  std::array<char, kCountSize + 1> request_{};
  std::size_t asked_ = 0;
  bool unlimited_ = false;
  Buffer unsent_;
};

// One thread's connections. All threads wait for the same listener.
class Worker {
 public:
  Worker(int listener, const ServerOptions& options)
      : listener_(listener), options_(options), scratch_(kBufferSize) {}

  absl::Status Run() {
    epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_.valid()) return ErrnoStatus(errno, "epoll_create1");
    RETURN_IF_ERROR(Control(EPOLL_CTL_ADD, listener_, EPOLLIN | EPOLLEXCLUSIVE));
    std::array<epoll_event, 64> events{};
    while (true) {
      const int n = epoll_wait(epoll_.get(), events.data(), events.size(), -1);
      if (n < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
      for (int i = 0; i < n; ++i) {
        const int fd = events[i].data.fd;
        RETURN_IF_ERROR(fd == listener_ ? AcceptOne() : Advance(fd));
      }
    }
  }

 private:
  absl::Status Control(int operation, int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_.get(), operation, fd, &event) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, "epoll_ctl");
  }

  absl::Status AcceptOne() {
    Fd fd(accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
      // Another thread took it, or the client has gone already (accept(2)).
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return absl::OkStatus();
      return ErrnoStatus(errno, "accept4");
    }
    net::SetNoDelay(fd.get());
    const int number = fd.get();
    RETURN_IF_ERROR(Control(EPOLL_CTL_ADD, number, EPOLLIN));
    connections_[number] = std::make_unique<Connection>(std::move(fd), options_);
    return absl::OkStatus();
  }

  absl::Status Advance(int fd) {
    Connection& connection = *connections_.at(fd);
    const Next next = connection.OnReady(scratch_);
    if (next == Next::kClose) {
      connections_.erase(fd);  // closing takes it out of epoll
      return absl::OkStatus();
    }
    if (next == connection.waits_for()) return absl::OkStatus();
    connection.set_waits_for(next);
    // A source also wants to see the client's end while it cannot write.
    const bool input = next == Next::kRead || options_.mode == ServerMode::kSource;
    const bool output = next == Next::kWrite;
    return Control(EPOLL_CTL_MOD, fd, (input ? EPOLLIN : 0U) | (output ? EPOLLOUT : 0U));
  }

  const int listener_;
  const ServerOptions& options_;
  Buffer scratch_;
  Fd epoll_;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
};

}  // namespace

absl::Status Serve(const Fd& listener, const ServerOptions& options) {
  std::mutex mutex;
  absl::Status first;
  std::vector<std::thread> workers;
  workers.reserve(options.threads);
  for (int i = 0; i < options.threads; ++i) {
    workers.emplace_back([&] {
      const absl::Status status = Worker(listener.get(), options).Run();
      const std::lock_guard lock(mutex);
      first.Update(status);
      // Every other worker sees a listener that no longer accepts, and ends too.
      shutdown(listener.get(), SHUT_RDWR);
    });
  }
  for (std::thread& worker : workers) worker.join();
  return first;
}

}  // namespace tombolo::bench
