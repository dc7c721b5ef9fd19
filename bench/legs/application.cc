// SPDX-License-Identifier: Apache-2.0
#include "application.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <barrier>
#include <cstring>
#include <span>
#include <thread>

#include "../latency_histogram.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/time.h"
#include "usage.h"

namespace tombolo::bench {
namespace {

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

// One connection's thread.
class Stream {
 public:
  Stream(int fd, const Load& load) : fd_(fd), load_(load), request_(load.size), answer_(load.size) {
    const int no_delay = load.delay ? 0 : 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay);
  }

  absl::Status Run(MonotonicTime deadline) {
    while (Now() < deadline) {
      const MonotonicTime start = Now();
      ++number_;
      std::memcpy(request_.data(), &number_, std::min(sizeof number_, request_.size()));
      RETURN_IF_ERROR(SendAll());
      if (!load_.requests()) continue;
      RETURN_IF_ERROR(ReceiveAnswer());
      latency_.Add((Now() - start).count());
    }
    return End();
  }

  std::uint64_t bytes() const { return number_ * load_.size; }
  const LatencyHistogram& latency() const { return latency_; }

 private:
  absl::Status SendAll() {
    for (std::span<const char> left(request_); !left.empty();) {
      const ssize_t n = send(fd_, left.data(), left.size(), MSG_NOSIGNAL);
      if (n < 0) return ErrnoStatus(errno, "send");
      left = left.subspan(n);
    }
    return absl::OkStatus();
  }

  absl::Status ReceiveAnswer() {
    for (std::span<char> left(answer_); !left.empty();) {
      const ssize_t n = recv(fd_, left.data(), left.size(), 0);
      if (n < 0) return ErrnoStatus(errno, "recv");
      if (n == 0) return absl::DataLossError("the agent ended before its answer");
      left = left.subspan(n);
    }
    if (answer_ == request_) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("answer ", number_, " is not what was asked"));
  }

  absl::Status End() {
    if (shutdown(fd_, SHUT_WR) != 0) return ErrnoStatus(errno, "shutdown");
    ssize_t n;
    do {
      // A socket in a sockhash says EAGAIN when the end comes while somebody waits for it.
      n = recv(fd_, answer_.data(), answer_.size(), 0);
    } while (n < 0 && errno == EAGAIN);
    if (n < 0) return ErrnoStatus(errno, "wait for the agent's end");
    if (n > 0) return absl::DataLossError("the agent sent more than its answers");
    return absl::OkStatus();
  }

  const int fd_;
  const Load& load_;
  std::vector<char> request_;
  std::vector<char> answer_;
  std::uint64_t number_ = 0;
  LatencyHistogram latency_;
};

}  // namespace

absl::StatusOr<Usage> RunApplication(const std::vector<Fd>& sockets, const Load& load,
                                     absl::FunctionRef<void()> wait_for_start) {
  std::vector<Stream> streams;
  streams.reserve(sockets.size());
  for (const Fd& socket : sockets) streams.emplace_back(socket.get(), load);
  std::vector<absl::Status> results(streams.size());
  std::barrier prepared(static_cast<std::ptrdiff_t>(streams.size()) + 1);
  std::vector<std::thread> threads;
  threads.reserve(streams.size());
  for (std::size_t i = 0; i < streams.size(); ++i) {
    threads.emplace_back([&, i] {
      prepared.arrive_and_wait();  // the thread is there
      prepared.arrive_and_wait();  // the load begins
      results[i] = streams[i].Run(Now() + load.duration);
    });
  }
  prepared.arrive_and_wait();
  wait_for_start();
  const Meter meter;
  prepared.arrive_and_wait();
  for (std::thread& thread : threads) thread.join();
  Usage usage;
  meter.AddTo(usage);
  LatencyHistogram latency;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    RETURN_IF_ERROR(results[i]);
    usage.bytes += streams[i].bytes();
    latency.Merge(streams[i].latency());
  }
  usage.operations = latency.count();
  usage.p50_ns = latency.Quantile(0.5);
  usage.p99_ns = latency.Quantile(0.99);
  return usage;
}

}  // namespace tombolo::bench
