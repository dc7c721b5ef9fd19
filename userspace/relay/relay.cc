// SPDX-License-Identifier: Apache-2.0
#include "relay/relay.h"

#include <sys/socket.h>

#include <utility>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::relay {
namespace {

using tunnel::Message;
using tunnel::MessageType;
using tunnel::Role;
namespace proto = tunnel::proto;

// How long a batch that is being written may hold up the end of a failed relay.
constexpr Duration kGrace = std::chrono::seconds(2);

// Who is to blame for an error of SendFrom or ReceiveTo: Aborted is the plain
// socket's, everything else the tunnel's.
proto::Code CodeFor(const absl::Status& status) {
  if (absl::IsAborted(status)) return proto::CODE_APPLICATION_RESET;
  if (absl::IsInvalidArgument(status)) return proto::CODE_PROTOCOL_ERROR;
  if (absl::IsResourceExhausted(status)) return proto::CODE_KEY_BUDGET;
  return proto::CODE_UNSPECIFIED;
}

// The receiver's words for how a tunnel ended under a running connection.
absl::Status Explain(const absl::Status& status) {
  if (absl::IsOutOfRange(status)) {
    return absl::DataLossError("the tunnel was closed before the connection had ended");
  }
  return status;
}

}  // namespace

Relay::Relay(net::AsyncFd plain, tunnel::Tunnel& tunnel, std::uint64_t early)
    : plain_(std::move(plain)),
      tunnel_(tunnel),
      grace_(plain_.poller(), [this] { tunnel_.stream().socket().Close(); }) {
  // Until both streams have ended in order: should this process die, the
  // application must not take the end of its socket for the end of the stream.
  net::ResetOnClose(plain_.get());
  counters_.to_tunnel = early;
}

Awaitable<absl::Status> Relay::Run() {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the operators' only home
  co_await (PlainToTunnel() && TunnelToPlain());
  if (failure_.ok() && tunnel_.role() == Role::kAcceptor) {
    co_await WaitUntilDrained();
    CloseInOrder();
    if (failure_.ok()) {
      absl::Status sent = co_await tunnel_.Send(MessageType::kDone, "", kNoDeadline);
      if (!sent.ok()) Fail(std::move(sent), proto::CODE_UNSPECIFIED);
    }
  }
  grace_.Cancel();
  CloseInOrder();
  if (failure_.ok()) co_return absl::OkStatus();
  if (failure_code_ == proto::CODE_UNSPECIFIED) {
    co_await tunnel_.Close();
  } else {
    co_await tunnel_.Reset(failure_code_, std::string(failure_.message()));
  }
  co_return failure_;
}

// After a failure it has been reset already.
void Relay::CloseInOrder() {
  if (failure_.ok() && plain_.get() >= 0) net::CloseInOrder(plain_.get());
  plain_.Close();
}

void Relay::Stop(absl::Status why, proto::Code code) { Fail(std::move(why), code); }

void Relay::Fail(absl::Status why, proto::Code code) {
  if (!failure_.ok() || (done_ && tunnel_.role() == Role::kDialer)) return;
  failure_ = std::move(why);
  failure_code_ = code;
  if (plain_.get() >= 0) net::ResetOnClose(plain_.get());
  plain_.Close();
  tunnel_.stream().CancelReceive();
  // A batch in flight holds the sending side; a peer that does not read must not
  // hold us for ever.
  grace_.ExpireAt(After(kGrace));
}

Awaitable<void> Relay::PlainToTunnel() {
  while (failure_.ok()) {
    const absl::StatusOr<std::size_t> moved = co_await tunnel_.stream().SendFrom(plain_);
    if (!moved.ok()) {
      Fail(moved.status(), CodeFor(moved.status()));
      co_return;
    }
    counters_.to_tunnel += *moved;
    if (*moved == 0) break;
  }
  if (!failure_.ok()) co_return;
  // Without a deadline, like the data before it: a peer whose application reads
  // slowly is in order.
  absl::Status sent = co_await tunnel_.Send(MessageType::kEnd, "", kNoDeadline);
  if (!sent.ok()) {
    Fail(std::move(sent), proto::CODE_UNSPECIFIED);
    co_return;
  }
  local_end_ = true;
  if (ended() && tunnel_.role() == Role::kAcceptor) {
    done_ = true;
    tunnel_.stream().CancelReceive();
    co_return;
  }
  co_await WatchPlain();
}

// Nobody reads the plain socket any more, but its reset must still be seen while
// the other direction goes on.
Awaitable<void> Relay::WatchPlain() {
  while (!done_ && failure_.ok()) {
    const absl::Status waited = co_await plain_.WaitHangUp();
    if (!waited.ok()) co_return;
    if (done_ || !failure_.ok()) co_return;
    if (const int error = net::TakeError(plain_.get()); error != 0) {
      Fail(ErrnoStatus(error, "application socket"), proto::CODE_APPLICATION_RESET);
      co_return;
    }
    plain_.ClearHangUp();
  }
}

Awaitable<void> Relay::TunnelToPlain() {
  while (!done_ && failure_.ok()) {
    absl::StatusOr<tls::Record> record = tls::Record{};
    if (remote_end_) {
      // Nothing is left to move; only control records may come.
      record = co_await tunnel_.stream().Receive(kNoDeadline);
    } else {
      record = co_await tunnel_.stream().ReceiveTo(plain_, counters_.from_tunnel);
    }
    if (done_ || !failure_.ok()) break;
    if (!record.ok()) {
      Fail(Explain(record.status()), CodeFor(record.status()));
      break;
    }
    if (absl::Status taken = co_await TakeControl(*record); !taken.ok()) {
      Fail(taken, CodeFor(taken));
      break;
    }
  }
  plain_.CancelHangUp();
}

Awaitable<absl::Status> Relay::TakeControl(tls::Record record) {
  absl::StatusOr<Message> message = co_await tunnel_.Understand(record);
  if (absl::IsNotFound(message.status())) co_return absl::OkStatus();
  if (!message.ok()) co_return message.status();
  switch (message->type) {
    case MessageType::kEnd:
      co_return co_await TakeEnd();
    case MessageType::kDone:
      if (tunnel_.role() != Role::kDialer || !ended()) {
        co_return absl::InvalidArgumentError("DONE before END in both directions");
      }
      done_ = true;
      co_return absl::OkStatus();
    case MessageType::kReset:
      co_return TakeReset(*message);
    default:
      co_return absl::InvalidArgumentError(
          absl::StrCat(tunnel::Name(message->type), " within a connection"));
  }
}

Awaitable<absl::Status> Relay::TakeEnd() {
  if (remote_end_) co_return absl::InvalidArgumentError("END twice");
  remote_end_ = true;
  // A socket that is reset already says so to whoever uses it next.
  (void)shutdown(plain_.get(), SHUT_WR);
  if (ended() && tunnel_.role() == Role::kAcceptor) done_ = true;
  co_return absl::OkStatus();
}

absl::Status Relay::TakeReset(const Message& message) {
  const absl::StatusOr<proto::Reset> reset = tunnel::ParsePayload<proto::Reset>(message);
  if (!reset.ok()) return reset.status();
  return absl::UnavailableError(
      absl::StrCat("the peer reset: ", tunnel::Name(reset->code()), " ", reset->message()));
}

// The endpoint has acknowledged everything, or reset. There is no deadline: an
// endpoint that reads slowly is in order, and a dead one is found by keepalive
// and by TCP's retransmissions.
Awaitable<void> Relay::WaitUntilDrained() {
  while (failure_.ok() && !net::IsClosed(plain_.get())) {
    plain_.ClearHangUp();
    const absl::Status waited = co_await plain_.WaitHangUp();
    if (!waited.ok()) co_return;
  }
  if (!failure_.ok()) co_return;
  if (const int error = net::TakeError(plain_.get()); error != 0) {
    Fail(ErrnoStatus(error, "endpoint socket"), proto::CODE_APPLICATION_RESET);
  }
}

}  // namespace tombolo::relay
