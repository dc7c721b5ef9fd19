// SPDX-License-Identifier: Apache-2.0
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <deque>
#include <memory>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/buffer_pool.h"
#include "usage.h"

namespace tombolo::bench {
namespace {

constexpr int kStepsPerTurn = 16;
constexpr std::size_t kSpliceBatch = std::size_t{64} << 10;

enum class Step { kMoved, kBlocked, kEnd };

// What one thread's connections share.
struct Shared {
  Way way;
  Onward onward;
  Fd null;  // /dev/null, where a pipe is emptied into
  net::BufferPool buffers;
};

// One leg and what the agent does with its bytes.
class Connection {
 public:
  Connection(AgentLeg leg, Shared& shared) : leg_(std::move(leg)), shared_(shared) {}

  int application() const { return leg_.application.get(); }
  int next() const { return leg_.next.get(); }
  std::uint64_t bytes() const { return bytes_; }

  // Which of the two sockets does not matter: a call too many says EAGAIN.
  void OnEdge(std::uint32_t events) {
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) end_seen_ = true;
  }

  absl::StatusOr<Step> Advance() {
    if (confirmed_) return Step::kBlocked;  // an edge that came together with the last one
    if (ended_) return AwaitNextEnd();
    ASSIGN_OR_RETURN(const Step step, shared_.way == Way::kSplice ? Splice() : Copy());
    if (step != Step::kEnd) return step;
    ended_ = true;
    if (shared_.onward != Onward::kNext) return Confirm();
    shutdown(next(), SHUT_WR);
    return AwaitNextEnd();
  }

 private:
  // As the relay has it, a short read has emptied the socket, unless the stream's end is behind it.
  // Not where bytes may also wait in TCP's queue: a read takes from one queue only.
  absl::StatusOr<Step> Copy() {
    if (begin_ == end_) {
      if (!readable_) return Step::kBlocked;
      buffer_ = shared_.buffers.Take();
      const ssize_t n =
          recv(application(), buffer_.span().data(), buffer_.span().size(), MSG_DONTWAIT);
      if (n <= 0) {
        buffer_.Reset();
        return NothingRead(n, "recv");
      }
      const bool is_short = static_cast<std::size_t>(n) < buffer_.span().size();
      if (is_short && !end_seen_ && shared_.way != Way::kBounded) readable_ = false;
      Count(n);
      begin_ = 0;
      end_ = shared_.onward == Onward::kDiscard ? 0 : n;
    }
    while (begin_ != end_) {
      const ssize_t n = send(target(), buffer_.span().data() + begin_, end_ - begin_,
                             MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return Step::kBlocked;
      if (n < 0) return ErrnoStatus(errno, "send");
      begin_ += n;
    }
    buffer_.Reset();
    return Step::kMoved;
  }

  absl::StatusOr<Step> Splice() {
    if (!pipe_.held()) {
      if (!readable_) return Step::kBlocked;
      pipe_ = shared_.buffers.pipes().Take();
      if (!pipe_.held()) return absl::ResourceExhaustedError("no pipe");
      const ssize_t n = pipe_.FillFrom(application(), kSpliceBatch);
      if (n <= 0) {
        pipe_.Reset();
        return NothingRead(n, "splice from the application");
      }
      Count(n);
    }
    while (pipe_.bytes() > 0) {
      const ssize_t n = pipe_.DrainTo(target());
      if (n < 0 && errno == EAGAIN) return Step::kBlocked;
      if (n < 0) return ErrnoStatus(errno, "splice onward");
    }
    pipe_.Reset();
    return Step::kMoved;
  }

  absl::StatusOr<Step> NothingRead(ssize_t n, const char* what) {
    if (n == 0) return Step::kEnd;
    if (errno != EAGAIN) return ErrnoStatus(errno, what);
    readable_ = false;
    return Step::kBlocked;
  }

  void Count(ssize_t n) {
    bytes_ += n;
    if (leg_.read != nullptr) *leg_.read = bytes_;
  }

  int target() const {
    if (shared_.onward == Onward::kAnswer) return application();
    return shared_.onward == Onward::kNext ? next() : shared_.null.get();
  }

  // The next one closes when it has read everything.
  absl::StatusOr<Step> AwaitNextEnd() {
    char byte;
    const ssize_t n = recv(next(), &byte, 1, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return Step::kBlocked;
    if (n != 0) return ErrnoStatus(n < 0 ? errno : EPROTO, "wait for the next one's end");
    return Confirm();
  }

  Step Confirm() {
    confirmed_ = true;
    shutdown(application(), SHUT_WR);
    return Step::kEnd;
  }

  AgentLeg leg_;
  Shared& shared_;
  net::BufferPool::Lease buffer_;
  net::PipePool::Lease pipe_;
  std::size_t begin_ = 0, end_ = 0;  // of what is unsent in buffer_
  std::uint64_t bytes_ = 0;
  bool readable_ = false;
  bool end_seen_ = false;
  bool ended_ = false;
  bool confirmed_ = false;  // the application knows
};

absl::Status Watch(const Fd& epoll, int fd, std::uint32_t events, void* target) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = target;
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "epoll_ctl");
}

// The agent's thread: one epoll, and a queue of those that had their turn and want another.
class Loop {
 public:
  absl::Status Add(AgentLeg leg, Shared& shared) {
    auto connection = std::make_unique<Connection>(std::move(leg), shared);
    constexpr std::uint32_t kEdges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    RETURN_IF_ERROR(Watch(epoll_, connection->application(), kEdges, connection.get()));
    if (connection->next() >= 0) {
      // Only writable, and the end: nothing else comes from there.
      RETURN_IF_ERROR(
          Watch(epoll_, connection->next(), EPOLLOUT | EPOLLRDHUP | EPOLLET, connection.get()));
    }
    connections_.push_back(std::move(connection));
    return absl::OkStatus();
  }

  absl::Status Run() {
    std::array<epoll_event, 64> events{};
    for (left_ = connections_.size(); left_ > 0;) {
      const int n = epoll_wait(epoll_.get(), events.data(), events.size(), again_.empty() ? -1 : 0);
      if (n < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
      for (int i = 0; i < n; ++i) {
        auto* connection = static_cast<Connection*>(events[i].data.ptr);
        connection->OnEdge(events[i].events);
        RETURN_IF_ERROR(Turn(*connection));
      }
      for (std::size_t waiting = again_.size(); waiting > 0; --waiting) {
        Connection* connection = std::exchange(again_.front(), nullptr);
        again_.pop_front();
        RETURN_IF_ERROR(Turn(*connection));
      }
    }
    return absl::OkStatus();
  }

  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const auto& connection : connections_) sum += connection->bytes();
    return sum;
  }
  bool valid() const { return epoll_.valid(); }

 private:
  absl::Status Turn(Connection& connection) {
    for (int steps = 0; steps < kStepsPerTurn; ++steps) {
      ASSIGN_OR_RETURN(const Step step, connection.Advance());
      if (step == Step::kEnd) {
        --left_;
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.application(), nullptr);
        if (connection.next() >= 0) {
          epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.next(), nullptr);
        }
      }
      if (step != Step::kMoved) return absl::OkStatus();
    }
    again_.push_back(&connection);
    return absl::OkStatus();
  }

  Fd epoll_{epoll_create1(EPOLL_CLOEXEC)};
  std::vector<std::unique_ptr<Connection>> connections_;
  std::deque<Connection*> again_;
  std::size_t left_ = 0;
};

}  // namespace

absl::StatusOr<Usage> RunAgent(std::vector<AgentLeg> legs, Way way, const Load& load,
                               absl::FunctionRef<void()> ready) {
  const sched_param none{};
  sched_setscheduler(0, SCHED_BATCH, &none);  // as the agent's data threads
  Shared shared{.way = way,
                .onward = load.onward,
                .null = Fd(open("/dev/null", O_WRONLY | O_CLOEXEC)),
                .buffers = net::BufferPool()};
  Loop loop;
  if (!loop.valid() || !shared.null.valid()) return ErrnoStatus(errno, "epoll or /dev/null");
  for (AgentLeg& leg : legs) RETURN_IF_ERROR(loop.Add(std::move(leg), shared));
  ready();
  const Meter meter;
  RETURN_IF_ERROR(loop.Run());
  Usage usage;
  meter.AddTo(usage);
  usage.bytes = loop.bytes();
  return usage;
}

absl::StatusOr<Usage> RunSink(std::vector<Fd> sockets, absl::FunctionRef<void()> ready) {
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  for (Fd& socket : sockets) RETURN_IF_ERROR(Watch(epoll, socket.get(), EPOLLIN, &socket));
  ready();
  const Meter meter;
  Usage usage;
  constexpr std::size_t kAtOnce = std::size_t{1} << 20;
  for (std::size_t left = sockets.size(); left > 0;) {
    epoll_event event{};
    const int n = epoll_wait(epoll.get(), &event, 1, -1);
    if (n < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
    if (n < 1) continue;
    Fd& socket = *static_cast<Fd*>(event.data.ptr);
    const ssize_t got = recv(socket.get(), nullptr, kAtOnce, MSG_TRUNC | MSG_DONTWAIT);
    if (got < 0 && errno != EAGAIN) return ErrnoStatus(errno, "recv");
    if (got > 0) usage.bytes += got;
    if (got != 0) continue;
    socket = Fd();
    --left;
  }
  meter.AddTo(usage);
  return usage;
}

}  // namespace tombolo::bench
