// SPDX-License-Identifier: Apache-2.0
#include "load_client.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <barrier>
#include <cstring>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <endian.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/status_macros.h"
#include "base/time.h"
#include "load_server.h"
#include "net/socket.h"

namespace tombolo::bench {
namespace {

// Longer without one byte of progress is a failure, so that no run hangs.
constexpr timeval kStall = {.tv_sec = 10, .tv_usec = 0};

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

absl::Status SocketError(int error, absl::string_view what) {
  if (error != EAGAIN) return ErrnoStatus(error, what);
  return absl::DeadlineExceededError(
      absl::StrCat(what, ": no progress for ", kStall.tv_sec, " seconds"));
}

absl::StatusOr<Fd> ConnectTo(const net::SocketAddress& server) {
  sockaddr_storage address{};
  const socklen_t length = server.ToSockaddr(address);
  Fd fd(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kStall, sizeof kStall);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kStall, sizeof kStall);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    return ErrnoStatus(errno, absl::StrCat("connect to ", server.ToString()));
  }
  net::SetNoDelay(fd.get());
  return fd;
}

absl::StatusOr<std::size_t> Receive(const Fd& fd, std::span<char> into) {
  const ssize_t n = recv(fd.get(), into.data(), into.size(), 0);
  if (n < 0) return SocketError(errno, "recv");
  return n;
}

absl::Status ReceiveAll(const Fd& fd, std::span<char> into) {
  while (!into.empty()) {
    ASSIGN_OR_RETURN(const std::size_t n, Receive(fd, into));
    if (n == 0) {
      return absl::UnavailableError(
          absl::StrCat("the server ended with ", into.size(), " bytes missing"));
    }
    into = into.subspan(n);
  }
  return absl::OkStatus();
}

absl::Status SendAll(const Fd& fd, std::span<const char> data) {
  while (!data.empty()) {
    const ssize_t n = send(fd.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (n < 0) return SocketError(errno, "send");
    data = data.subspan(n);
  }
  return absl::OkStatus();
}

absl::Status EndSending(const Fd& fd) {
  if (shutdown(fd.get(), SHUT_WR) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "shutdown");
}

// One connection's thread.
class Stream {
 public:
  explicit Stream(const ClientOptions& options)
      : options_(options),
        bulk_(options.mode == ClientMode::kUpload || options.mode == ClientMode::kDownload),
        buffer_(bulk_ ? options.chunk : options.size),
        answer_(bulk_ ? 0 : options.size) {}

  absl::Status Prepare() {
    if (options_.mode == ClientMode::kConnects) return absl::OkStatus();
    RETURN_IF_ERROR(Connect());
    return options_.mode == ClientMode::kRequests ? Exchange() : absl::OkStatus();
  }

  absl::Status Run(MonotonicTime deadline) {
    if (options_.mode == ClientMode::kUpload) return Upload(deadline);
    if (options_.mode == ClientMode::kDownload) return Download(deadline);
    while (Now() < deadline) {
      const MonotonicTime start = Now();
      RETURN_IF_ERROR(options_.mode == ClientMode::kRequests ? Exchange() : ConnectAndExchange());
      latency_.Add((Now() - start).count());
    }
    return absl::OkStatus();
  }

  std::uint64_t bytes() const { return bytes_; }
  const LatencyHistogram& latency() const { return latency_; }

 private:
  absl::Status Connect() {
    ASSIGN_OR_RETURN(fd_, ConnectTo(options_.server));
    return SendAll(fd_, options_.preamble);
  }

  absl::Status Upload(MonotonicTime deadline) {
    while (options_.bytes == 0 ? Now() < deadline : bytes_ < options_.bytes) {
      const std::uint64_t left = options_.bytes == 0 ? buffer_.size() : options_.bytes - bytes_;
      const std::size_t size = std::min<std::uint64_t>(buffer_.size(), left);
      RETURN_IF_ERROR(SendAll(fd_, std::span(buffer_).first(size)));
      bytes_ += size;
    }
    RETURN_IF_ERROR(EndSending(fd_));
    std::uint64_t count = 0;
    RETURN_IF_ERROR(ReceiveAll(fd_, {reinterpret_cast<char*>(&count), kCountSize}));
    if (be64toh(count) == bytes_) return absl::OkStatus();
    return absl::DataLossError(
        absl::StrCat("sent ", bytes_, " bytes, and the server read ", be64toh(count)));
  }

  // After the deadline the source is told to stop, and what is on its way still
  // counts, so that no byte costs CPU time without being divided by.
  absl::Status Download(MonotonicTime deadline) {
    const std::uint64_t request = htobe64(options_.bytes);
    RETURN_IF_ERROR(SendAll(fd_, {reinterpret_cast<const char*>(&request), kCountSize}));
    bool asking = options_.bytes == 0;
    while (true) {
      ASSIGN_OR_RETURN(const std::size_t n, Receive(fd_, buffer_));
      if (n == 0) break;
      bytes_ += n;
      if (asking && Now() >= deadline) {
        asking = false;
        RETURN_IF_ERROR(EndSending(fd_));
      }
    }
    if (!asking && (options_.bytes == 0 || bytes_ == options_.bytes)) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("the server ended after ", bytes_, " bytes"));
  }

  absl::Status Exchange() {
    ++number_;
    std::memcpy(buffer_.data(), &number_, std::min(sizeof number_, buffer_.size()));
    RETURN_IF_ERROR(SendAll(fd_, buffer_));
    RETURN_IF_ERROR(ReceiveAll(fd_, answer_));
    if (answer_ == buffer_) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("answer ", number_, " is not what was asked"));
  }

  absl::Status ConnectAndExchange() {
    RETURN_IF_ERROR(Connect());
    RETURN_IF_ERROR(Exchange());
    fd_ = Fd();
    return absl::OkStatus();
  }

  const ClientOptions& options_;
  const bool bulk_;
  std::vector<char> buffer_;
  std::vector<char> answer_;
  Fd fd_;
  std::uint64_t number_ = 0;
  std::uint64_t bytes_ = 0;
  LatencyHistogram latency_;
};

// Waits for all threads between the phases, also when one of them has failed.
absl::Status RunTogether(std::vector<Stream>& streams, const ClientOptions& options,
                         std::chrono::nanoseconds& elapsed) {
  const auto all_prepared = [&]() noexcept {
    if (options.prepared) options.prepared();
  };
  std::barrier prepared(static_cast<std::ptrdiff_t>(streams.size()), all_prepared);
  std::vector<absl::Status> results(streams.size());
  std::vector<std::chrono::nanoseconds> spans(streams.size());
  std::vector<std::thread> threads;
  threads.reserve(streams.size());
  for (std::size_t i = 0; i < streams.size(); ++i) {
    threads.emplace_back([&, i] {
      results[i] = streams[i].Prepare();
      prepared.arrive_and_wait();
      if (!results[i].ok()) return;
      const MonotonicTime start = Now();
      results[i] = streams[i].Run(start + options.duration);
      spans[i] = Now() - start;
    });
  }
  for (std::thread& thread : threads) thread.join();
  elapsed = *std::max_element(spans.begin(), spans.end());
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!results[i].ok()) return Annotate(results[i], absl::StrCat("connection ", i + 1));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ClientResult> RunClient(const ClientOptions& options) {
  std::vector<Stream> streams;
  streams.reserve(options.connections);
  for (int i = 0; i < options.connections; ++i) streams.emplace_back(options);
  ClientResult result;
  RETURN_IF_ERROR(RunTogether(streams, options, result.elapsed));
  for (const Stream& stream : streams) {
    result.bytes += stream.bytes();
    result.latency.Merge(stream.latency());
  }
  return result;
}

}  // namespace tombolo::bench
