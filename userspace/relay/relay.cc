// SPDX-License-Identifier: Apache-2.0
#include "relay/relay.h"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
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
      next_turn_(plain_.poller(), [this] { Pump(); }) {
  counters_.to_tunnel = early;
}

Awaitable<absl::Status> Relay::Run() {
  plain_.SetListener(this);
  tunnel_.stream().SetListener(this);
  Pump();
  while (!over()) {
    net::Waiter finished(plain_.poller());
    finished_ = &finished;
    const absl::Cleanup forget = [this] { finished_ = nullptr; };
    // Cancelled: the thread is being shut down.
    const net::Waiter::End end = co_await finished.Wait();
    if (end == net::Waiter::End::kCancelled) Fail(absl::CancelledError("cancelled"), {});
  }
  tunnel_.stream().SetListener(nullptr);
  next_turn_.Cancel();
  // After a failure it has been reset already, and an acceptor's has ended (IsClosed).
  if (failure_.ok() && tunnel_.role() == Role::kDialer) net::CloseInOrder(plain_.get());
  plain_.Close();
  if (failure_.ok()) co_return absl::OkStatus();
  if (failure_code_ == proto::CODE_UNSPECIFIED) {
    co_await tunnel_.Close();
  } else {
    co_await tunnel_.Reset(failure_code_, std::string(failure_.message()));
  }
  co_return failure_;
}

void Relay::Stop(absl::Status why, proto::Code code) { Fail(std::move(why), code); }

void Relay::Fail(absl::Status why, proto::Code code) {
  if (over()) return;
  failure_ = std::move(why);
  failure_code_ = code;
  net::ResetOnClose(plain_.get());
  plain_.Close();
  if (finished_ != nullptr) finished_->Wake();
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
  if (over() && finished_ != nullptr) finished_->Wake();
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

}  // namespace tombolo::relay
