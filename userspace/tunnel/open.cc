// SPDX-License-Identifier: Apache-2.0
#include "tunnel/open.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/poller.h"

namespace tombolo::tunnel {
namespace {

constexpr std::size_t kMaxEarlyBytes = 64 * 1024;
constexpr Duration kLastWords = std::chrono::seconds(1);

using Kind = OpenOutcome::Kind;

// Waits for RESULT on the tunnel's edges, and meanwhile sends what the application writes,
// on the edges of its socket.
class Opening final : private net::EdgeListener {
 public:
  Opening(Tunnel& tunnel, net::AsyncFd& plain, net::BufferPool& buffers, bool send_early)
      : tunnel_(tunnel), plain_(plain), buffers_(buffers), sends_early_(send_early) {}

  Awaitable<absl::StatusOr<proto::Result>> Run(MonotonicTime deadline);

  std::size_t early() const { return early_; }  // bytes sent before RESULT
  const absl::Status& early_failure() const { return early_failure_; }
  const absl::Status& plain_failure() const { return plain_failure_; }

 private:
  void OnEdge() override { Pump(); }
  void Pump();
  void TakeMessages();
  absl::StatusOr<proto::Result> Judge(const Message& message);
  void SendEarlyData();
  bool SendFresh(absl::Span<const std::uint8_t> seen);

  Tunnel& tunnel_;
  net::AsyncFd& plain_;
  net::BufferPool& buffers_;
  bool sends_early_;  // and there may be more to send
  std::size_t early_ = 0;
  absl::Status early_failure_;
  absl::Status plain_failure_;  // reading has used up the socket's error: it shows only once
  std::optional<absl::StatusOr<proto::Result>> result_;  // or why there is none
  net::Waiter* finished_ = nullptr;                      // on Run()'s frame
};

Awaitable<absl::StatusOr<proto::Result>> Opening::Run(MonotonicTime deadline) {
  plain_.SetListener(this);
  tunnel_.stream().SetListener(this);
  const absl::Cleanup unwatch = [this] {
    plain_.SetListener(nullptr);
    tunnel_.stream().SetListener(nullptr);
  };
  Pump();
  while (!result_) {
    net::Waiter finished(plain_.poller());
    finished_ = &finished;
    const absl::Cleanup forget = [this] { finished_ = nullptr; };
    const net::Waiter::End end = co_await finished.Wait(deadline);
    if (result_) break;
    if (end == net::Waiter::End::kDeadline) {
      result_ = absl::DeadlineExceededError("timed out waiting for RESULT");
    } else if (end == net::Waiter::End::kCancelled) {
      result_ = absl::CancelledError("cancelled");
    }
  }
  co_return *std::move(result_);
}

void Opening::Pump() {
  if (!result_) TakeMessages();
  if (!result_ && sends_early_) SendEarlyData();
  tunnel_.stream().Flush();  // OPEN, when there was nothing to go with it
  if (result_ && finished_ != nullptr) finished_->Wake();
}

// HELLO, if it is due, and RESULT. What is behind that is the relay's.
void Opening::TakeMessages() {
  while (!result_ && (tunnel_.stream().socket().readable() || tunnel_.stream().buffered())) {
    const absl::StatusOr<Message> message = tunnel_.TryReceive();
    if (ErrnoOf(message.status()) == EAGAIN) return;
    if (message.ok() && !tunnel_.greeted()) {
      if (absl::Status hello = tunnel_.TakeHello(*message); !hello.ok()) result_ = hello;
    } else {
      result_ = message.ok() ? Judge(*message) : message.status();
    }
  }
}

absl::StatusOr<proto::Result> Opening::Judge(const Message& message) {
  if (message.type == MessageType::kReset) {
    ASSIGN_OR_RETURN(const proto::Reset reset, ParsePayload<proto::Reset>(message));
    return absl::AbortedError(
        absl::StrCat("the peer reset: ", Name(reset.code()), " ", reset.message()));
  }
  if (message.type != MessageType::kResult) {
    return absl::InvalidArgumentError(absl::StrCat(Name(message.type), " instead of RESULT"));
  }
  return ParsePayload<proto::Result>(message);
}

void Opening::SendEarlyData() {
  while (sends_early_ && early_ < kMaxEarlyBytes && plain_.readable()) {
    net::BufferPool::Lease lease = buffers_.Take();
    const ssize_t n =
        recv(plain_.get(), lease.span().data(), kMaxEarlyBytes, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      plain_.ClearReadable();
    } else if (n < 0) {
      plain_failure_ = ErrnoStatus(errno, "read from the application");
      sends_early_ = false;
    } else if (!SendFresh(lease.span().first(static_cast<std::size_t>(n)))) {
      return;
    }
  }
}

// Sends what has not been sent yet of `seen`, the beginning of what the application has
// written. False: there is no room now.
bool Opening::SendFresh(absl::Span<const std::uint8_t> seen) {
  const auto fresh = seen.subspan(std::min(early_, seen.size()));
  if (!fresh.empty()) {
    const absl::StatusOr<std::size_t> sent = tunnel_.stream().PostData(fresh);
    if (!sent.ok()) {
      early_ += fresh.size();  // a part of it may have gone
      early_failure_ = sent.status();
      sends_early_ = false;
      return true;
    }
    if (*sent == 0) return false;
    early_ += *sent;
  }
  // Still readable: the stream's end is behind what was seen, and shows when the relay reads.
  if (seen.size() < kMaxEarlyBytes) plain_.ClearReadableAfterShortRead();
  if (plain_.readable()) sends_early_ = false;
  return true;
}

// Removes from the application's socket what has been sent already. MSG_TRUNC: TCP
// drops the bytes instead of copying them (tcp(7)); the buffer is there for sanitizers,
// which believe that recv() writes.
absl::Status ConsumeEarlyData(net::AsyncFd& plain, std::size_t early, net::BufferPool& buffers) {
  if (early == 0) return absl::OkStatus();
  net::BufferPool::Lease lease = buffers.Take();
  for (std::size_t left = early; left > 0;) {
    const ssize_t n = recv(plain.get(), lease.span().data(), left, MSG_TRUNC | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return ErrnoStatus(n == 0 ? ECONNRESET : errno, "drop early data");
    left -= static_cast<std::size_t>(n);
  }
  return absl::OkStatus();
}

// A failed tunnel before RESULT. Retrying is safe only when the acceptor cannot
// have handed application bytes to an endpoint.
OpenOutcome TunnelFailed(const absl::Status& status, std::size_t early) {
  if (absl::IsPermissionDenied(status)) return {Kind::kDenied, status};
  const bool said_goodbye = absl::IsOutOfRange(status);
  if (said_goodbye || early == 0) return {Kind::kNotSent, status};
  return {Kind::kUncertain, status};
}

// After a refusal both sides end the connection, so that the tunnel is clean for
// the next one: the acceptor discards early data up to END and answers DONE.
Awaitable<void> EndRefused(Tunnel& tunnel, MonotonicTime deadline) {
  absl::Status sent = co_await tunnel.Send(MessageType::kEnd, "", deadline);
  if (!sent.ok()) {
    tunnel.Retire();
    co_return;
  }
  const absl::StatusOr<Message> answer = co_await tunnel.Receive(deadline);
  if (!answer.ok() || answer->type != MessageType::kDone) tunnel.Retire();
}

// `more`: early data may follow in the same write.
absl::Status SendOpen(Tunnel& tunnel, const proto::Open& open, bool more) {
  if (tunnel.connection() == 0) RETURN_IF_ERROR(tunnel.PostHello(/*more=*/true));
  tunnel.BeginConnection();
  return tunnel.Post(MessageType::kOpen, open.SerializeAsString(), more);
}

}  // namespace

Awaitable<OpenOutcome> OpenConnection(Tunnel& tunnel, proto::Open open, net::AsyncFd& plain,
                                      net::BufferPool& buffers, MonotonicTime deadline,
                                      bool send_early) {
  absl::Status sent = SendOpen(tunnel, open, /*more=*/send_early);
  // A refused certificate makes the peer close at once, which a write may meet before the
  // alert is read.
  if (!sent.ok()) deadline = After(kLastWords);
  Opening opening(tunnel, plain, buffers, send_early && sent.ok());
  const absl::StatusOr<proto::Result> result = co_await opening.Run(deadline);
  if (!sent.ok()) {
    tunnel.Retire();
    if (!result.ok()) sent = result.status();
    co_return TunnelFailed(sent, 0);
  }
  if (result.ok() && result->code() == proto::CODE_OK && opening.early_failure().ok() &&
      opening.plain_failure().ok()) {
    const absl::Status consumed = ConsumeEarlyData(plain, opening.early(), buffers);
    if (consumed.ok()) co_return OpenOutcome{Kind::kOpened, absl::OkStatus(), opening.early()};
    tunnel.Retire();  // the acceptor is in the middle of this connection
    co_return OpenOutcome{Kind::kPlainFailed, consumed};
  }
  // What was peeked at has used up its edge; the next attempt must find it all the same.
  plain.MarkReadable();
  // Whatever the answer, or none: another attempt would take its reset for the end of its stream.
  if (!opening.plain_failure().ok()) {
    tunnel.Retire();
    co_return OpenOutcome{Kind::kPlainFailed, opening.plain_failure()};
  }
  if (!result.ok()) {
    tunnel.Retire();
    co_return TunnelFailed(result.status(), opening.early());
  }
  if (result->code() == proto::CODE_OK) {
    tunnel.Retire();
    co_return OpenOutcome{Kind::kUncertain, opening.early_failure()};
  }
  co_await EndRefused(tunnel, deadline);
  const std::string why = absl::StrCat(Name(result->code()), ": ", result->message());
  if (result->code() == proto::CODE_DENIED) {
    co_return OpenOutcome{Kind::kDenied, absl::PermissionDeniedError(why)};
  }
  co_return OpenOutcome{Kind::kRefused, absl::UnavailableError(why)};
}

}  // namespace tombolo::tunnel
