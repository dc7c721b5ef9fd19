// SPDX-License-Identifier: Apache-2.0
// The sending half of UserRecordStream.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/alert.h"
#include "tls/fairness.h"
#include "tls/record_limits.h"
#include "tls/status_code.h"
#include "tls/user_record_stream.h"

namespace tombolo::tls {
namespace {

constexpr std::size_t kSlotSize = kMaxPlaintext + kRecordOverhead;
constexpr std::size_t kMaxSlots = net::BufferPool::kBufferSize / kSlotSize + 1;

// Plaintext bytes that fit into the slot that begins at `offset` of `size`.
std::size_t SlotRoom(std::size_t size, std::size_t offset) {
  const std::size_t left = size - offset;
  return left <= kRecordOverhead ? 0 : std::min(left - kRecordOverhead, kMaxPlaintext);
}

}  // namespace

Awaitable<absl::Status> UserRecordStream::Send(absl::Span<const std::uint8_t> data,
                                               MonotonicTime deadline) {
  CO_RETURN_IF_ERROR(co_await turn_.Wait(deadline));
  SendTurn::Holder writer(turn_);
  net::BufferPool::Lease lease = pool_.Take();
  while (!data.empty()) {
    absl::Status rekeyed = co_await RekeyIfDue(deadline);
    if (!rekeyed.ok()) co_return writer.Done(rekeyed);
    const absl::StatusOr<std::size_t> size = FillBatch(lease.span(), data);
    if (!size.ok()) {
      (void)writer.Done(absl::OkStatus());  // an alert may still be sent
      co_return size.status();
    }
    absl::Status written = co_await Write(lease.span().first(*size), deadline);
    // What was sealed behind this batch goes before the next one.
    if (written.ok()) written = co_await WriteUnsent(deadline);
    if (!written.ok()) co_return writer.Done(written);
  }
  co_return writer.Done(absl::OkStatus());
}

// Seals as much of `data` as fits into `batch` and advances it.
absl::StatusOr<std::size_t> UserRecordStream::FillBatch(absl::Span<std::uint8_t> batch,
                                                        absl::Span<const std::uint8_t>& data) {
  if (sealer_.remaining() == 0) return SendBudgetUsedUp();
  std::size_t bytes = 0;
  std::uint64_t left = sealer_.remaining();
  for (std::size_t offset = 0; !data.empty() && left > 0; --left) {
    const std::size_t part = std::min(SlotRoom(batch.size(), offset), data.size());
    if (part == 0) break;
    std::memcpy(batch.data() + offset + kHeaderSize, data.data(), part);
    data.remove_prefix(part);
    bytes += part;
    offset += part + kRecordOverhead;
  }
  return SealBatch(batch, bytes);
}

// Seals `bytes` bytes that lie in the slots of `batch`, each full but the last.
absl::StatusOr<std::size_t> UserRecordStream::SealBatch(absl::Span<std::uint8_t> batch,
                                                        std::size_t bytes) {
  std::size_t offset = 0;
  while (bytes > 0) {
    const std::size_t part = std::min(SlotRoom(batch.size(), offset), bytes);
    ASSIGN_OR_RETURN(const std::size_t sealed,
                     sealer_.Seal(kApplicationData, batch.subspan(offset), part));
    offset += sealed;
    bytes -= part;
  }
  return offset;
}

Awaitable<absl::StatusOr<std::size_t>> UserRecordStream::SendFrom(net::AsyncFd& plain) {
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
Awaitable<absl::StatusOr<std::size_t>> UserRecordStream::MoveBatch(net::AsyncFd& plain) {
  SendTurn::Holder writer(turn_);
  absl::Status rekeyed = co_await RekeyIfDue(kNoDeadline);
  if (!rekeyed.ok()) co_return writer.Done(rekeyed);
  net::BufferPool::Lease lease = pool_.Take();
  const absl::StatusOr<std::size_t> read = ReadBatch(plain, lease.span());
  if (!read.ok() || *read == 0) {
    (void)writer.Done(absl::OkStatus());  // the tunnel is intact
    co_return read;
  }
  const absl::StatusOr<std::size_t> sealed = SealBatch(lease.span(), *read);
  if (!sealed.ok()) co_return writer.Done(sealed.status());
  absl::Status written = co_await Write(lease.span().first(*sealed), kNoDeadline);
  if (written.ok()) written = co_await WriteUnsent(kNoDeadline);
  CO_RETURN_IF_ERROR(writer.Done(written));
  co_return *read;
}

// One read from `plain`, scattered over as many slots as the key may still
// seal.
absl::StatusOr<std::size_t> UserRecordStream::ReadBatch(net::AsyncFd& plain,
                                                        absl::Span<std::uint8_t> batch) {
  iovec slots[kMaxSlots];
  std::size_t count = 0;
  const std::size_t limit = std::min<std::uint64_t>(kMaxSlots, sealer_.remaining());
  for (std::size_t offset = 0; count < limit && SlotRoom(batch.size(), offset) > 0; ++count) {
    slots[count] = {batch.data() + offset + kHeaderSize, SlotRoom(batch.size(), offset)};
    offset += kRecordOverhead + slots[count].iov_len;
  }
  if (count == 0) return SendBudgetUsedUp();
  std::size_t room = 0;
  for (std::size_t i = 0; i < count; ++i) room += slots[i].iov_len;
  for (;;) {
    const ssize_t got = readv(plain.get(), slots, static_cast<int>(count));
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

Awaitable<absl::Status> UserRecordStream::SendControl(absl::Span<const std::uint8_t> message,
                                                      MonotonicTime deadline) {
  CO_RETURN_IF_ERROR(CheckControlSize(message.size()));
  CO_RETURN_IF_ERROR(turn_.status());
  if (unsent_.size() + message.size() + kRecordOverhead > kMaxQueuedControl) {
    co_return ControlQueueFull();
  }
  CO_RETURN_IF_ERROR(SealUnsent(kControl, message));
  if (turn_.taken()) co_return absl::OkStatus();  // its holder carries this
  SendTurn::Holder writer(turn_);
  co_return writer.Done(co_await WriteUnsent(deadline));
}

absl::Status UserRecordStream::SealUnsent(std::uint8_t type,
                                          absl::Span<const std::uint8_t> message) {
  const std::size_t offset = unsent_.size();
  unsent_.resize(offset + message.size() + kRecordOverhead);
  const absl::Span<std::uint8_t> slot = absl::MakeSpan(unsent_).subspan(offset);
  std::copy(message.begin(), message.end(), slot.begin() + kHeaderSize);
  absl::Status status = sealer_.Seal(type, slot, message.size()).status();
  if (!status.ok()) unsent_.resize(offset);
  return status;
}

// Between two batches, by the holder of the turn: nothing is sealed and unsent.
Awaitable<absl::Status> UserRecordStream::RekeyIfDue(MonotonicTime deadline) {
  if (sealer_.sequence() < rekey_every_ && !rekey_requested_) co_return absl::OkStatus();
  CO_RETURN_IF_ERROR(SealKeyUpdate());
  co_return co_await WriteUnsent(deadline);
}

absl::Status UserRecordStream::SealKeyUpdate() {
  ASSIGN_OR_RETURN(Secret next, NextSecret(secrets_.suite, secrets_.send));
  ASSIGN_OR_RETURN(const TrafficKey key, DeriveTrafficKey(secrets_.suite, next));
  ASSIGN_OR_RETURN(RecordSealer sealer, RecordSealer::Create(key));
  RETURN_IF_ERROR(SealUnsent(kHandshake, kKeyUpdateMessage));
  sealer_ = std::move(sealer);
  secrets_.send = std::move(next);
  rekey_requested_ = false;
  ++keys_sent_with_;
  return absl::OkStatus();
}

Awaitable<absl::Status> UserRecordStream::Write(absl::Span<const std::uint8_t> bytes,
                                                MonotonicTime deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      socket_.ClearWritable();
      CO_RETURN_IF_ERROR(co_await socket_.WaitWritable(deadline));
    } else if (errno != EINTR) {
      co_return WithCode(absl::StatusCode::kUnavailable, ErrnoStatus(errno, "send to the peer"));
    }
  }
  co_return absl::OkStatus();
}

// Until nothing is left: more may be queued while this waits.
Awaitable<absl::Status> UserRecordStream::WriteUnsent(MonotonicTime deadline) {
  while (!unsent_.empty()) {
    const std::vector<std::uint8_t> batch = std::exchange(unsent_, {});
    CO_RETURN_IF_ERROR(co_await Write(batch, deadline));
  }
  co_return absl::OkStatus();
}

Awaitable<void> UserRecordStream::CloseNotify(MonotonicTime deadline) {
  const absl::Status ready = co_await turn_.Wait(deadline);
  if (ready.ok()) {
    SendTurn::Holder writer(turn_);
    constexpr std::uint8_t kMessage[] = {kAlertWarning, kCloseNotify};
    absl::Status status = SealUnsent(kAlert, kMessage);
    if (status.ok()) status = co_await WriteUnsent(deadline);
    // A peer that did not get all of it sees a truncation.
    if (status.ok()) status = absl::FailedPreconditionError("close_notify has been sent");
    (void)writer.Done(status);
  }
  if (socket_.get() >= 0) shutdown(socket_.get(), SHUT_WR);
}

// Tells the peer what it did wrong, if that can be said without waiting.
void UserRecordStream::SendAlertNow(std::uint8_t alert) {
  if (turn_.taken() || !turn_.status().ok() || !unsent_.empty()) return;
  const std::uint8_t message[] = {kAlertFatal, alert};
  if (SealUnsent(kAlert, message).ok()) {
    (void)send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  unsent_.clear();
  turn_.Fail(absl::FailedPreconditionError(absl::StrCat("sent alert ", AlertName(alert))));
}

}  // namespace tombolo::tls
