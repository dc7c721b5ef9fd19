// SPDX-License-Identifier: Apache-2.0
#include "tunnel/open.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::tunnel {
namespace {

constexpr std::size_t kMaxEarlyBytes = 64 * 1024;

using Kind = OpenOutcome::Kind;

// The two halves of an opening share this on OpenConnection's frame.
struct Opening {
  Tunnel& tunnel;
  net::AsyncFd& plain;
  net::BufferPool& buffers;
  MonotonicTime deadline;
  bool send_early;
  std::size_t early = 0;  // bytes sent before RESULT
  bool settled = false;   // RESULT has come, or the tunnel failed
  absl::Status early_failure{};
  absl::Status plain_failure{};  // reading has used up the socket's error: it shows only once
};

// Sends what the application has written beyond what was sent already.
Awaitable<absl::Status> SendFresh(Opening& opening) {
  net::BufferPool::Lease lease = opening.buffers.Take();
  const ssize_t n =
      recv(opening.plain.get(), lease.span().data(), kMaxEarlyBytes, MSG_PEEK | MSG_DONTWAIT);
  // What comes from now on makes an edge.
  opening.plain.ClearReadable();
  if (n < 0 && errno != EAGAIN && errno != EINTR) {
    opening.plain_failure = ErrnoStatus(errno, "read from the application");
    co_return opening.plain_failure;
  }
  // The stream's end shows again when the relay reads.
  if (n == 0) co_return absl::OutOfRangeError("the stream has ended");
  if (n <= static_cast<ssize_t>(opening.early)) co_return absl::OkStatus();
  const auto fresh = lease.span().subspan(opening.early, n - opening.early);
  opening.early = n;
  opening.early_failure = co_await opening.tunnel.stream().Send(fresh, opening.deadline);
  co_return opening.early_failure;
}

// Again and again, until RESULT.
Awaitable<void> SendEarlyData(Opening& opening) {
  if (!opening.send_early) co_return;
  while (!opening.settled && opening.early < kMaxEarlyBytes) {
    absl::Status status = co_await SendFresh(opening);
    opening.tunnel.stream().Flush();  // OPEN, when there was nothing to go with it
    if (!status.ok() || opening.settled) co_return;
    status = co_await opening.plain.WaitReadable(opening.deadline);
    if (!status.ok()) co_return;
  }
}

Awaitable<absl::StatusOr<proto::Result>> ReceiveResult(Tunnel& tunnel, MonotonicTime deadline) {
  if (!tunnel.greeted()) CO_RETURN_IF_ERROR(co_await tunnel.ExpectHello(deadline));
  CO_ASSIGN_OR_RETURN(const Message message, co_await tunnel.Receive(deadline));
  if (message.type == MessageType::kReset) {
    CO_ASSIGN_OR_RETURN(const proto::Reset reset, ParsePayload<proto::Reset>(message));
    co_return absl::AbortedError(
        absl::StrCat("the peer reset: ", Name(reset.code()), " ", reset.message()));
  }
  if (message.type != MessageType::kResult) {
    co_return absl::InvalidArgumentError(absl::StrCat(Name(message.type), " instead of RESULT"));
  }
  co_return ParsePayload<proto::Result>(message);
}

Awaitable<absl::StatusOr<proto::Result>> AwaitResult(Opening& opening) {
  auto result = co_await ReceiveResult(opening.tunnel, opening.deadline);
  opening.settled = true;
  opening.plain.CancelRead();
  co_return result;
}

// Removes from the application's socket what has been sent already. MSG_TRUNC: TCP
// drops the bytes instead of copying them (tcp(7)); the buffer is there for sanitizers,
// which believe that recv() writes.
absl::Status ConsumeEarlyData(Opening& opening) {
  net::BufferPool::Lease lease = opening.buffers.Take();
  for (std::size_t left = opening.early; left > 0;) {
    const ssize_t n =
        recv(opening.plain.get(), lease.span().data(), left, MSG_TRUNC | MSG_DONTWAIT);
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
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the operators' only home
  if (absl::Status sent = SendOpen(tunnel, open, /*more=*/send_early); !sent.ok()) {
    // A refused certificate makes the peer close at once, which a write may meet
    // before the alert is read.
    const auto received = co_await ReceiveResult(tunnel, After(std::chrono::seconds(1)));
    tunnel.Retire();
    if (!received.ok()) sent = received.status();
    co_return TunnelFailed(sent, 0);
  }
  Opening opening{.tunnel = tunnel,
                  .plain = plain,
                  .buffers = buffers,
                  .deadline = deadline,
                  .send_early = send_early};
  const absl::StatusOr<proto::Result> result =
      co_await (AwaitResult(opening) && SendEarlyData(opening));
  // What was peeked at, or the stream's end behind it, has used up its edge; the relay or
  // the next attempt must find it all the same.
  plain.MarkReadable();
  if (!result.ok()) {
    tunnel.Retire();
    co_return TunnelFailed(result.status(), opening.early);
  }
  // Whatever the answer: another attempt would take its reset for the end of its stream.
  if (!opening.plain_failure.ok()) {
    tunnel.Retire();
    co_return OpenOutcome{Kind::kPlainFailed, opening.plain_failure};
  }
  if (result->code() == proto::CODE_OK) {
    absl::Status consumed;
    if (opening.early_failure.ok()) consumed = ConsumeEarlyData(opening);
    if (opening.early_failure.ok() && consumed.ok()) {
      co_return OpenOutcome{Kind::kOpened, absl::OkStatus(), opening.early};
    }
    tunnel.Retire();  // the acceptor is in the middle of this connection
    if (!consumed.ok()) co_return OpenOutcome{Kind::kPlainFailed, consumed};
    co_return OpenOutcome{Kind::kUncertain, opening.early_failure};
  }
  co_await EndRefused(tunnel, deadline);
  const std::string why = absl::StrCat(Name(result->code()), ": ", result->message());
  if (result->code() == proto::CODE_DENIED) {
    co_return OpenOutcome{Kind::kDenied, absl::PermissionDeniedError(why)};
  }
  co_return OpenOutcome{Kind::kRefused, absl::UnavailableError(why)};
}

}  // namespace tombolo::tunnel
