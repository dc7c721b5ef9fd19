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
#include "tls/record_limits.h"
#include "tls/record_protection.h"
#include "tls/status_code.h"

namespace tombolo::tls {
namespace {

constexpr std::size_t kMaxBatch = net::BufferPool::kBufferSize / kMaxPlaintext;
constexpr std::uint8_t kCloseNotifyMessage[] = {kAlertWarning, tls::kCloseNotify};

// Records that the kernel makes of one write of application data.
std::uint64_t RecordsOf(std::size_t bytes) { return (bytes + kMaxPlaintext - 1) / kMaxPlaintext; }

bool Writable(int fd) {
  pollfd entry{.fd = fd, .events = POLLOUT, .revents = 0};
  // Also after an error, which the next write tells.
  return poll(&entry, 1, /*timeout=*/0) == 1;
}

}  // namespace

Awaitable<absl::Status> KernelRecordStream::Send(absl::Span<const std::uint8_t> data,
                                                 MonotonicTime deadline) {
  CO_RETURN_IF_ERROR(co_await turn_.Wait(deadline));
  SendTurn::Holder holder(turn_);
  absl::Status status = co_await Prepare(deadline);
  if (absl::IsResourceExhausted(status)) {
    (void)holder.Done(absl::OkStatus());  // why it ends may still be said
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
  const absl::Status ready = co_await Prepare(kNoDeadline);
  if (absl::IsResourceExhausted(ready)) {
    (void)holder.Done(absl::OkStatus());  // why it ends may still be said
    co_return ready;
  }
  if (!ready.ok()) co_return holder.Done(ready);
  net::BufferPool::Lease lease = pool_.Take();
  const absl::StatusOr<std::size_t> read = ReadBatch(plain, lease.span());
  if (!read.ok() || *read == 0) {
    (void)holder.Done(absl::OkStatus());  // the tunnel is intact
    co_return read;
  }
  absl::Status written = co_await Write(lease.span().first(*read), kNoDeadline);
  lease.Reset();
  if (written.ok()) written = co_await WriteQueue(kNoDeadline);
  CO_RETURN_IF_ERROR(holder.Done(written));
  co_return *read;
}

// No more than the key may still carry.
absl::StatusOr<std::size_t> KernelRecordStream::ReadBatch(net::AsyncFd& plain,
                                                          absl::Span<std::uint8_t> batch) {
  const std::uint64_t records = std::min<std::uint64_t>(kRecordBudget - sent_at_most_, kMaxBatch);
  const std::size_t room = records * kMaxPlaintext;
  for (;;) {
    const ssize_t got = recv(plain.get(), batch.data(), room, MSG_DONTWAIT);
    if (got >= 0) {
      const auto size = static_cast<std::size_t>(got);
      if (size > 0 && size < room) plain.ClearReadableAfterShortRead();
      return size;
    }
    if (errno != EINTR) {
      return WithCode(absl::StatusCode::kAborted, ErrnoStatus(errno, "read from the application"));
    }
  }
}

// A new key when it is time for one, and what was queued while that was sent; then
// whether the key may carry more data.
Awaitable<absl::Status> KernelRecordStream::Prepare(MonotonicTime deadline) {
  CO_RETURN_IF_ERROR(co_await RekeyIfDue(deadline));
  CO_RETURN_IF_ERROR(co_await WriteQueue(deadline));
  co_return CheckBudget(kRecordBudget);
}

Awaitable<absl::Status> KernelRecordStream::SendControl(absl::Span<const std::uint8_t> message,
                                                        MonotonicTime deadline) {
  CO_RETURN_IF_ERROR(CheckControlSize(message.size()));
  CO_RETURN_IF_ERROR(turn_.status());
  CO_RETURN_IF_ERROR(CheckBudget(kRecordBudget + kControlReserve));
  const std::size_t size = message.size() + kRecordOverhead;
  if (queued_ + size > kMaxQueuedControl) {
    co_return ControlQueueFull();
  }
  queued_ += size;
  queue_.emplace_back(message.begin(), message.end());
  if (turn_.taken()) co_return absl::OkStatus();  // its holder carries this
  SendTurn::Holder holder(turn_);
  co_return holder.Done(co_await WriteQueue(deadline));
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
  return SendBudgetUsedUp();
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
    absl::Status status = co_await WriteQueue(deadline);
    if (status.ok()) status = co_await WaitForRoom(deadline);
    if (status.ok()) status = co_await WriteRecord(kAlert, kCloseNotifyMessage, deadline);
    if (status.ok() && !Writable(socket_.get())) {
      status = co_await WaitForRoom(deadline);
      if (status.ok()) status = co_await WriteRecord(kAlert, kCloseNotifyMessage, deadline);
    }
    // A peer that did not get all of it sees a truncation.
    if (status.ok()) status = absl::FailedPreconditionError("close_notify has been sent");
    (void)holder.Done(status);
  }
  if (socket_.get() >= 0) shutdown(socket_.get(), SHUT_WR);
}

// shutdown() drops records that the kernel has sealed but found no room for
// (net/tls/tls_sw.c, tls_sw_release_resources_tx). Whatever is sent pushes them first,
// in order and at once: so a close_notify that finds room takes along what was left,
// and if even that has filled the socket, a second one, which nobody reads, pushes
// the first.
Awaitable<absl::Status> KernelRecordStream::WaitForRoom(MonotonicTime deadline) {
  while (!Writable(socket_.get())) {
    socket_.ClearWritable();
    CO_RETURN_IF_ERROR(co_await socket_.WaitWritable(deadline));
  }
  co_return absl::OkStatus();
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
