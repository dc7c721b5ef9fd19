// SPDX-License-Identifier: Apache-2.0
#include "tls/sending_stream.h"

#include <sys/socket.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/status_code.h"

namespace tombolo::tls {

SendingStream::SendingStream(net::AsyncFd socket, net::BufferPool& pool, TrafficSecrets secrets)
    : socket_(std::move(socket)), pool_(pool), secrets_(std::move(secrets)) {
  socket_.SetListener(this);
}

SendingStream::~SendingStream() = default;

void SendingStream::OnEdge() {
  if (unsent() && socket_.writable()) (void)WriteUnsent();
  if (listener_ != nullptr) listener_->OnEdge();  // it may destroy this
}

SendingStream::Sent SendingStream::WriteUnsent() {
  if (!unsent()) return Sent::kAll;
  if (!socket_.writable()) return Sent::kBlocked;
  const Sent sent = Write();
  if (sent == Sent::kAll) WakeWaiting();
  return sent;
}

void SendingStream::WakeWaiting() {
  for (net::Waiter* waiter : waiting_) waiter->Wake();
}

void SendingStream::Fail(const absl::Status& status) {
  send_status_.Update(status);
  DropUnsent();
  WakeWaiting();
}

SendingStream::Sent SendingStream::FailWrite(int error) {
  Fail(WithCode(absl::StatusCode::kUnavailable, ErrnoStatus(error, "send to the peer")));
  return Sent::kFailed;
}

Awaitable<absl::Status> SendingStream::WaitSent(MonotonicTime deadline) {
  while (WriteUnsent() == Sent::kBlocked) {
    net::Waiter sent(socket_.poller());
    waiting_.push_back(&sent);
    const absl::Cleanup forget = [&] { std::erase(waiting_, &sent); };
    const auto end = co_await sent.Wait(deadline);
    if (end == net::Waiter::End::kDeadline && unsent()) {
      co_return absl::DeadlineExceededError("timed out waiting to send");
    }
    if (end == net::Waiter::End::kCancelled) co_return absl::CancelledError("cancelled");
  }
  co_return send_status_;
}

// Until no other Send() is under way. What is unsent and not blocked does not count: the
// bytes go behind it.
Awaitable<absl::Status> SendingStream::WaitForTurn(MonotonicTime deadline) {
  while (sending_ && send_status_.ok()) {
    net::Waiter turn(socket_.poller());
    waiting_.push_back(&turn);
    const absl::Cleanup forget = [&] { std::erase(waiting_, &turn); };
    const auto end = co_await turn.Wait(deadline);
    if (end == net::Waiter::End::kDeadline && sending_) {
      co_return absl::DeadlineExceededError("timed out waiting to send");
    }
    if (end == net::Waiter::End::kCancelled) co_return absl::CancelledError("cancelled");
  }
  if (unsent() && !socket_.writable()) co_return co_await WaitSent(deadline);
  co_return send_status_;
}

Awaitable<absl::Status> SendingStream::Send(absl::Span<const std::uint8_t> data,
                                            MonotonicTime deadline) {
  CO_RETURN_IF_ERROR(co_await WaitForTurn(deadline));
  sending_ = true;
  const absl::Cleanup done = [this] {
    sending_ = false;
    WakeWaiting();
  };
  while (!data.empty()) {
    CO_ASSIGN_OR_RETURN(const std::size_t taken, Append(data));
    data.remove_prefix(taken);
    absl::Status sent = co_await WaitSent(deadline);
    // A part of it has gone, and the rest cannot: nothing may follow.
    if (absl::IsDeadlineExceeded(sent)) Fail(sent);
    CO_RETURN_IF_ERROR(sent);
  }
  co_return absl::OkStatus();
}

absl::StatusOr<std::size_t> SendingStream::PostData(absl::Span<const std::uint8_t> data) {
  RETURN_IF_ERROR(send_status_);
  if (sending_ || (unsent() && !socket_.writable())) return std::size_t{0};
  std::size_t taken = 0;
  while (taken < data.size()) {
    const absl::StatusOr<std::size_t> part = Append(data.subspan(taken));
    if (!part.ok() && taken > 0) Fail(part.status());  // nothing may follow a part of it
    RETURN_IF_ERROR(part.status());
    taken += *part;
  }
  if (WriteUnsent() == Sent::kFailed) return send_status_;
  return taken;
}

Awaitable<absl::Status> SendingStream::SendControl(absl::Span<const std::uint8_t> message,
                                                   MonotonicTime deadline) {
  const bool behind = unsent() && !socket_.writable();
  CO_RETURN_IF_ERROR(PostControl(message));
  if (behind) co_return absl::OkStatus();
  absl::Status sent = co_await WaitSent(deadline);
  if (absl::IsDeadlineExceeded(sent)) Fail(sent);
  co_return sent;
}

Awaitable<void> SendingStream::CloseNotify(MonotonicTime deadline) {
  absl::Status status = co_await WaitForTurn(deadline);
  if (status.ok()) status = co_await WaitSent(deadline);
  if (status.ok()) status = co_await WriteCloseNotify(deadline);
  // A peer that did not get all of it sees a truncation.
  Fail(status.ok() ? absl::FailedPreconditionError("close_notify has been sent") : status);
  if (socket_.get() >= 0) shutdown(socket_.get(), SHUT_WR);
}

}  // namespace tombolo::tls
