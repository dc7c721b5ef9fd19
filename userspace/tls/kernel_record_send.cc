// SPDX-License-Identifier: Apache-2.0
// The sending half of KernelRecordStream.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "tls/alert.h"
#include "tls/fairness.h"
#include "tls/kernel_record_stream.h"
#include "tls/record_protection.h"
#include "tls/status_code.h"

namespace tombolo::tls {
namespace {

constexpr std::size_t kMaxControl = 4096;
constexpr std::size_t kMaxQueued = 64 * 1024;
constexpr std::size_t kMaxBatch = net::BufferPool::kBufferSize / kMaxPlaintext;
constexpr std::uint8_t kCloseNotifyMessage[] = {kAlertWarning, tls::kCloseNotify};

// Records that the kernel makes of one write of application data.
std::uint64_t RecordsOf(std::size_t bytes) { return (bytes + kMaxPlaintext - 1) / kMaxPlaintext; }

bool Writable(int fd) {
  pollfd entry{.fd = fd, .events = POLLOUT, .revents = 0};
  return poll(&entry, 1, /*timeout=*/0) == 1 && (entry.revents & POLLOUT) != 0;
}

}  // namespace

Awaitable<absl::Status> KernelRecordStream::Send(absl::Span<const std::uint8_t> data,
                                                 MonotonicTime deadline) {
  CO_RETURN_IF_ERROR(co_await turn_.Wait(deadline));
  SendTurn::Holder holder(turn_);
  absl::Status status = co_await RekeyIfDue(deadline);
  if (status.ok()) status = CheckBudget(kRecordBudget);
  if (absl::IsResourceExhausted(status)) {
    (void)holder.Done(absl::OkStatus());  // an alert may still be sent
    co_return status;
  }
  if (status.ok()) status = co_await Write(data, deadline);
  if (status.ok()) status = co_await WriteQueue(deadline);
  co_return holder.Done(status);
}

Awaitable<absl::StatusOr<std::size_t>> KernelRecordStream::SendFrom(net::AsyncFd& plain) {
  for (;;) {
    // No buffer is held while the application is silent.
    CO_RETURN_IF_ERROR(co_await plain.WaitReadable());
    CO_RETURN_IF_ERROR(co_await turn_.Wait(kNoDeadline));
    absl::StatusOr<std::size_t> moved = co_await MoveBatch(plain);
    if (ErrnoOf(moved.status()) != EAGAIN) {
      if (++batches_sent_ % kBatchesPerTurn == 0) co_await GiveWay(socket_.poller());
      co_return moved;
    }
    plain.ClearReadable();
  }
}

// Reads once and sends what came.
Awaitable<absl::StatusOr<std::size_t>> KernelRecordStream::MoveBatch(net::AsyncFd& plain) {
  SendTurn::Holder holder(turn_);
  absl::Status ready = co_await RekeyIfDue(kNoDeadline);
  if (ready.ok()) ready = CheckBudget(kRecordBudget);
  if (!ready.ok()) co_return holder.Done(ready);
  net::BufferPool::Lease lease = pool_.Take();
  // No more than the key may still carry.
  const std::uint64_t records = std::min<std::uint64_t>(kRecordBudget - sent_at_most_, kMaxBatch);
  ssize_t got;
  do {
    got = recv(plain.get(), lease.span().data(), records * kMaxPlaintext, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) {
    const int error = errno;
    (void)holder.Done(absl::OkStatus());  // the tunnel is intact
    if (got == 0) co_return std::size_t{0};
    co_return WithCode(absl::StatusCode::kAborted, ErrnoStatus(error, "read from the application"));
  }
  const auto size = static_cast<std::size_t>(got);
  if (size < records * kMaxPlaintext) plain.ClearReadableAfterShortRead();
  absl::Status written = co_await Write(lease.span().first(size), kNoDeadline);
  lease.Reset();
  if (written.ok()) written = co_await WriteQueue(kNoDeadline);
  CO_RETURN_IF_ERROR(holder.Done(written));
  co_return size;
}

Awaitable<absl::Status> KernelRecordStream::SendControl(absl::Span<const std::uint8_t> message,
                                                        MonotonicTime deadline) {
  if (message.size() > kMaxControl) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("control message of ", message.size(), " bytes"));
  }
  CO_RETURN_IF_ERROR(turn_.status());
  CO_RETURN_IF_ERROR(CheckBudget(kRecordBudget + kControlReserve));
  if (turn_.taken()) {  // its holder carries this
    const std::size_t size = message.size() + kRecordOverhead;
    if (queued_ + size > kMaxQueued) {
      co_return absl::UnavailableError(
          "the peer does not read: 64 KiB of control messages wait to be sent");
    }
    queued_ += size;
    queue_.emplace_back(message.begin(), message.end());
    co_return absl::OkStatus();
  }
  SendTurn::Holder holder(turn_);
  absl::Status status = co_await WriteRecord(kControl, message, deadline);
  if (status.ok()) status = co_await WriteQueue(deadline);
  co_return holder.Done(status);
}

// Until nothing is left: more may be queued while this waits.
Awaitable<absl::Status> KernelRecordStream::WriteQueue(MonotonicTime deadline) {
  while (!queue_.empty()) {
    const auto batch = std::exchange(queue_, {});
    for (const auto& message : batch) {
      CO_RETURN_IF_ERROR(co_await WriteRecord(kControl, message, deadline));
      queued_ -= message.size() + kRecordOverhead;
    }
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> KernelRecordStream::Write(absl::Span<const std::uint8_t> data,
                                                  MonotonicTime deadline) {
  while (!data.empty()) {
    // No MSG_MORE: a record that is left open is invisible to the peer, and a
    // shutdown throws it away.
    const ssize_t sent = send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      sent_at_most_ += RecordsOf(static_cast<std::size_t>(sent));
      data.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      socket_.ClearWritable();
      CO_RETURN_IF_ERROR(co_await socket_.WaitWritable(deadline));
    } else if (errno != EINTR) {
      co_return WithCode(absl::StatusCode::kUnavailable, ErrnoStatus(errno, "send to the peer"));
    }
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> KernelRecordStream::WriteRecord(std::uint8_t type,
                                                        absl::Span<const std::uint8_t> payload,
                                                        MonotonicTime deadline) {
  for (;;) {
    const ssize_t sent = kernel::SendRecord(socket_.get(), type, payload);
    if (sent == static_cast<ssize_t>(payload.size())) break;
    if (sent >= 0) co_return absl::InternalError("the kernel cut a control record in two");
    if (errno == EAGAIN) {
      socket_.ClearWritable();
      CO_RETURN_IF_ERROR(co_await socket_.WaitWritable(deadline));
    } else if (errno != EINTR) {
      co_return WithCode(absl::StatusCode::kUnavailable, ErrnoStatus(errno, "send to the peer"));
    }
  }
  ++sent_at_most_;
  co_return absl::OkStatus();
}

// The kernel makes fewer records than are counted here when a write meets a full
// socket, so the count that ends a stream is its own.
absl::Status KernelRecordStream::CheckBudget(std::uint64_t limit) {
  if (sent_at_most_ < limit) return absl::OkStatus();
  ASSIGN_OR_RETURN(sent_at_most_,
                   kernel::Sequence(socket_.get(), kernel::Direction::kSend, secrets_.suite));
  if (sent_at_most_ < limit) return absl::OkStatus();
  return absl::ResourceExhaustedError("2^24 records have been sent with this key");
}

Awaitable<absl::Status> KernelRecordStream::RekeyIfDue(MonotonicTime deadline) {
  if (sent_at_most_ < rekey_every_ && !rekey_requested_) co_return absl::OkStatus();
  CO_ASSIGN_OR_RETURN(Secret next, NextSecret(secrets_.suite, secrets_.send));
  CO_ASSIGN_OR_RETURN(const TrafficKey key, DeriveTrafficKey(secrets_.suite, next));
  CO_RETURN_IF_ERROR(co_await WriteRecord(kHandshake, kKeyUpdateMessage, deadline));
  CO_RETURN_IF_ERROR(kernel::InstallKey(socket_.get(), kernel::Direction::kSend, key));
  secrets_.send = std::move(next);
  sent_at_most_ = 0;
  rekey_requested_ = false;
  ++keys_sent_with_;
  co_return absl::OkStatus();
}

Awaitable<void> KernelRecordStream::CloseNotify(MonotonicTime deadline) {
  const absl::Status ready = co_await turn_.Wait(deadline);
  if (ready.ok()) {
    SendTurn::Holder holder(turn_);
    absl::Status status = co_await WriteRecord(kAlert, kCloseNotifyMessage, deadline);
    if (status.ok()) status = co_await PushOut(deadline);
    // A peer that did not get all of it sees a truncation.
    if (status.ok()) status = absl::FailedPreconditionError("close_notify has been sent");
    (void)holder.Done(status);
  }
  if (socket_.get() >= 0) shutdown(socket_.get(), SHUT_WR);
}

// shutdown() drops records that the kernel has sealed but found no room for
// (net/tls/tls_sw.c, tls_sw_release_resources_tx). Whatever is sent pushes them, in
// order and at once, so where the socket is full a second close_notify, which
// nobody reads, pushes the first.
Awaitable<absl::Status> KernelRecordStream::PushOut(MonotonicTime deadline) {
  if (Writable(socket_.get())) co_return absl::OkStatus();
  socket_.ClearWritable();
  CO_RETURN_IF_ERROR(co_await socket_.WaitWritable(deadline));
  co_return co_await WriteRecord(kAlert, kCloseNotifyMessage, deadline);
}

// Tells the peer what it did wrong, if that can be said without waiting.
void KernelRecordStream::SendAlertNow(std::uint8_t alert) {
  if (turn_.taken() || !turn_.status().ok() || !queue_.empty()) return;
  const std::uint8_t message[] = {kAlertFatal, alert};
  // A record that could not be opened is an error of the socket as well, which would
  // meet the next write.
  (void)net::TakeError(socket_.get());
  (void)kernel::SendRecord(socket_.get(), kAlert, message);
  turn_.Fail(absl::FailedPreconditionError(absl::StrCat("sent alert ", AlertName(alert))));
}

}  // namespace tombolo::tls
