// SPDX-License-Identifier: Apache-2.0
#include "relay/relay.h"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "net/socket.h"

namespace tombolo::relay {
namespace {

using tunnel::Message;
using tunnel::MessageType;
using tunnel::Role;
using Step = tls::RecordStream::Step;
namespace proto = tunnel::proto;

// Between two sockets that are never empty or full there is always something to move:
// after so many steps (about 2 MiB) the thread's others have their turn.
constexpr unsigned kStepsPerTurn = 16;
// An endpoint that answers a small request within this time has its answer in one write
// with RESULT: a wake-up less for both agents. (Two writes where the kernel makes records.)
constexpr Duration kAnswersSoon = std::chrono::milliseconds(1);
constexpr std::uint64_t kSmallRequest = 16 * 1024;

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
      holds_back_(tunnel.role() == Role::kAcceptor),
      next_turn_(plain_.poller(), [this] { Turn(); }) {
  counters_.to_tunnel = early;
}

void Relay::Start(std::function<void(End)> on_end) {
  on_end_ = std::move(on_end);
  plain_.SetListener(this);
  tunnel_.stream().SetListener(this);
  Pump();
}

void Relay::Stop(absl::Status why, proto::Code code) { Fail(std::move(why), code); }

void Relay::Fail(absl::Status why, proto::Code code) {
  if (over()) return;
  failure_ = std::move(why);
  failure_code_ = code;
  net::ResetOnClose(plain_.get());
  plain_.Close();
  FinishSoon();
}

// Whoever is told may destroy this object, which is still at work.
void Relay::FinishSoon() {
  if (on_end_ != nullptr) next_turn_.ExpireAt(std::chrono::steady_clock::now());
}

void Relay::Turn() { over() ? Finish() : Pump(); }

void Relay::Finish() {
  if (on_end_ == nullptr) return;
  tunnel_.stream().SetListener(nullptr);
  // After a failure it has been reset already, and an acceptor's has ended (IsClosed).
  if (failure_.ok() && tunnel_.role() == Role::kDialer) net::CloseInOrder(plain_.get());
  plain_.Close();
  const auto on_end = std::exchange(on_end_, nullptr);
  on_end({failure_, failure_code_, peer_code_});
}

// Moves until both directions have to wait.
void Relay::Pump() {
  for (unsigned steps = 0; !over(); ++steps) {
    if (steps == kStepsPerTurn) return next_turn_.ExpireAt(std::chrono::steady_clock::now());
    const bool up = StepToTunnel();
    const bool down = StepToPlain();
    if (!up && !down) break;
  }
  if (local_end_) CheckPlain();
  if (holds_back_) HoldBack();
  if (!over() && ended() && tunnel_.role() == Role::kAcceptor) FinishAccepted();
  if (over()) FinishSoon();
}

// Only a small request that came with OPEN is worth waiting for its answer.
void Relay::HoldBack() {
  const MonotonicTime now = std::chrono::steady_clock::now();
  const bool asked = counters_.from_tunnel > 0 && counters_.from_tunnel <= kSmallRequest;
  if (asked && counters_.to_tunnel == 0 && !local_end_ && !over() && now < held_until_) {
    if (held_until_ == kNoDeadline) held_until_ = now + kAnswersSoon;
    return next_turn_.ExpireAt(held_until_);
  }
  holds_back_ = false;
  next_turn_.Cancel();
  tunnel_.stream().Flush();
}

// Nobody reads the plain socket any more, but its reset must still be seen while the other
// direction goes on. Before that, reading finds it, behind what was sent before it.
void Relay::CheckPlain() {
  if (over() || !plain_.hung_up()) return;
  if (const int error = net::TakeError(plain_.get()); error != 0) {
    Fail(ErrnoStatus(error, "application socket"), proto::CODE_APPLICATION_RESET);
  }
}

// True: something has moved, and there may be more.
bool Relay::StepToTunnel() {
  if (local_end_ || over()) return false;
  if (holds_back_ && !plain_.readable()) return false;
  const absl::StatusOr<Step> step = tunnel_.stream().SendFrom(plain_, counters_.to_tunnel);
  if (!step.ok()) {
    Fail(step.status(), CodeFor(step.status()));
    return false;
  }
  if (*step == Step::kEnd) EndLocal();
  return *step == Step::kMoved;
}

void Relay::EndLocal() {
  // An acceptor may have DONE to say at once: one write for both.
  const bool more = remote_end_ && tunnel_.role() == Role::kAcceptor;
  if (absl::Status sent = tunnel_.Post(MessageType::kEnd, "", more); !sent.ok()) {
    return Fail(std::move(sent), proto::CODE_UNSPECIFIED);
  }
  local_end_ = true;
}

bool Relay::StepToPlain() {
  if (over()) return false;
  if (remote_end_) return TakeControl();
  const absl::StatusOr<Step> step = tunnel_.stream().ReceiveTo(plain_, counters_.from_tunnel);
  if (!step.ok()) {
    Fail(Explain(step.status()), CodeFor(step.status()));
    return false;
  }
  if (*step == Step::kControl) return TakeControl();
  return *step == Step::kMoved;
}

// False: none is there.
bool Relay::TakeControl() {
  if (!tunnel_.stream().socket().readable() && !tunnel_.stream().buffered()) return false;
  const absl::StatusOr<tls::Record> record = tunnel_.stream().TryReceive();
  if (ErrnoOf(record.status()) == EAGAIN) return false;
  if (!record.ok()) {
    Fail(Explain(record.status()), CodeFor(record.status()));
    return false;
  }
  if (absl::Status taken = Take(*record); !taken.ok()) Fail(taken, CodeFor(taken));
  return true;
}

absl::Status Relay::Take(const tls::Record& record) {
  const absl::StatusOr<Message> message = tunnel_.Understand(record);
  if (absl::IsNotFound(message.status())) return absl::OkStatus();
  if (!message.ok()) return message.status();
  switch (message->type) {
    case MessageType::kEnd:
      return TakeEnd();
    case MessageType::kDone:
      if (tunnel_.role() != Role::kDialer || !ended()) {
        return absl::InvalidArgumentError("DONE before END in both directions");
      }
      done_ = true;
      return absl::OkStatus();
    case MessageType::kReset:
      return TakeReset(*message);
    default:
      return absl::InvalidArgumentError(
          absl::StrCat(tunnel::Name(message->type), " within a connection"));
  }
}

absl::Status Relay::TakeEnd() {
  if (remote_end_) return absl::InvalidArgumentError("END twice");
  remote_end_ = true;
  // A socket that is reset already says so to whoever uses it next.
  (void)shutdown(plain_.get(), SHUT_WR);
  return absl::OkStatus();
}

absl::Status Relay::TakeReset(const Message& message) {
  const absl::StatusOr<proto::Reset> reset = tunnel::ParsePayload<proto::Reset>(message);
  if (!reset.ok()) return reset.status();
  peer_code_ = reset->code();
  return absl::UnavailableError(
      absl::StrCat("the peer reset: ", tunnel::Name(reset->code()), " ", reset->message()));
}

// DONE, once the endpoint has acknowledged everything. There is no deadline: an endpoint
// that reads slowly is in order, and a dead one is found by keepalive and by TCP's
// retransmissions. That it is closed both ways makes an edge.
void Relay::FinishAccepted() {
  if (!net::IsClosed(plain_.get())) return tunnel_.stream().Flush();
  // Closed by a reset whose edge has not come yet: it has thrown away what it was sent.
  if (const int error = net::TakeError(plain_.get()); error != 0) {
    return Fail(ErrnoStatus(error, "application socket"), proto::CODE_APPLICATION_RESET);
  }
  if (absl::Status sent = tunnel_.Post(MessageType::kDone, ""); !sent.ok()) {
    return Fail(std::move(sent), proto::CODE_UNSPECIFIED);
  }
  done_ = true;
}

Awaitable<void> CloseTunnel(tunnel::Tunnel& tunnel, Relay::End end) {
  if (end.code == proto::CODE_UNSPECIFIED) co_return co_await tunnel.Close();
  co_await tunnel.Reset(end.code, std::string(end.status.message()));
}

}  // namespace tombolo::relay
