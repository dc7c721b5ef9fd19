// SPDX-License-Identifier: Apache-2.0
// The sending half of UserRecordStream.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/alert.h"
#include "tls/record_limits.h"
#include "tls/status_code.h"
#include "tls/user_record_stream.h"

namespace tombolo::tls {
namespace {

constexpr std::size_t kSlotSize = kMaxPlaintext + kRecordOverhead;
constexpr std::size_t kMaxSlots = net::BufferPool::kBufferSize / kSlotSize + 1;
// So much of what was held back (PostControl, `more`) goes before a batch, in its write.
constexpr std::size_t kMaxHeldBack = 1024;

// Plaintext bytes that fit into the slot that begins at `offset` of `size`.
std::size_t SlotRoom(std::size_t size, std::size_t offset) {
  const std::size_t left = size - offset;
  return left <= kRecordOverhead ? 0 : std::min(left - kRecordOverhead, kMaxPlaintext);
}

}  // namespace

absl::StatusOr<std::size_t> UserRecordStream::Append(absl::Span<const std::uint8_t> data) {
  RETURN_IF_ERROR(RekeyIfDue());
  if (sealer_.remaining() == 0) return SendBudgetUsedUp();
  const auto part = data.first(std::min(data.size(), kMaxPlaintext));
  RETURN_IF_ERROR(SealQueued(kApplicationData, part));
  return part.size();
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

absl::StatusOr<RecordStream::Step> UserRecordStream::SendFrom(net::AsyncFd& plain,
                                                              std::uint64_t& moved) {
  RETURN_IF_ERROR(send_status());
  if (sending() || !OnlyHeldBack()) {
    if (WriteUnsent() == Sent::kBlocked || sending()) return Step::kPeerBlocked;
    RETURN_IF_ERROR(send_status());
  }
  if (!plain.readable() && plain.get() >= 0) return Step::kPlainBlocked;
  RETURN_IF_ERROR(RekeyIfDue());
  if (sealer_.remaining() == 0) return SendBudgetUsedUp();
  net::BufferPool::Lease lease = pool_.Take();
  std::copy(queue_.begin(), queue_.end(), lease.span().begin());
  const absl::Span<std::uint8_t> slots = lease.span().subspan(queue_.size());
  const ssize_t read = ReadBatch(plain, slots);
  if (read == 0) return Step::kEnd;
  if (read < 0 && errno == EAGAIN) {
    plain.ClearReadable();
    return Step::kPlainBlocked;
  }
  if (read < 0) {
    return WithCode(absl::StatusCode::kAborted, ErrnoStatus(errno, "read from the application"));
  }
  absl::StatusOr<std::size_t> sealed = SealBatch(slots, static_cast<std::size_t>(read));
  if (!sealed.ok()) Fail(sealed.status());  // bytes are lost: nothing may follow
  RETURN_IF_ERROR(sealed.status());
  moved += static_cast<std::uint64_t>(read);
  batch_ = std::move(lease);
  batch_begin_ = 0;
  batch_end_ = queue_.size() + *sealed;
  DropQueue();
  if (WriteUnsent() == Sent::kFailed) return send_status();
  return Step::kMoved;
}

// Nothing waits to be written but a little that could be, now, and may as well go with what
// follows.
bool UserRecordStream::OnlyHeldBack() const {
  return batch_begin_ == batch_end_ && queue_begin_ == 0 && queue_.size() <= kMaxHeldBack &&
         (queue_.empty() || socket_.writable());
}

// One read from `plain`, scattered over as many slots as the key may still
// seal, of which there is one at least.
ssize_t UserRecordStream::ReadBatch(net::AsyncFd& plain, absl::Span<std::uint8_t> batch) const {
  iovec slots[kMaxSlots];
  std::size_t count = 0;
  std::size_t room = 0;
  const std::size_t limit = std::min<std::uint64_t>(kMaxSlots, sealer_.remaining());
  for (std::size_t offset = 0; count < limit && SlotRoom(batch.size(), offset) > 0; ++count) {
    slots[count] = {batch.data() + offset + kHeaderSize, SlotRoom(batch.size(), offset)};
    offset += kRecordOverhead + slots[count].iov_len;
    room += slots[count].iov_len;
  }
  ssize_t got;
  do {
    got = readv(plain.get(), slots, static_cast<int>(count));
  } while (got < 0 && errno == EINTR);
  if (got > 0 && static_cast<std::size_t>(got) < room) plain.ClearReadableAfterShortRead();
  return got;
}

absl::Status UserRecordStream::PostControl(absl::Span<const std::uint8_t> message, bool more) {
  RETURN_IF_ERROR(CheckControlSize(message.size()));
  RETURN_IF_ERROR(send_status());
  const std::size_t size = message.size() + kRecordOverhead;
  if (queued_control_ + size > kMaxQueuedControl) return ControlQueueFull();
  RETURN_IF_ERROR(SealQueued(kControl, message));
  queued_control_ += size;
  if (more || WriteUnsent() != Sent::kFailed) return absl::OkStatus();
  return send_status();
}

absl::Status UserRecordStream::SealQueued(std::uint8_t type,
                                          absl::Span<const std::uint8_t> message) {
  const std::size_t offset = queue_.size();
  queue_.resize(offset + message.size() + kRecordOverhead);
  const absl::Span<std::uint8_t> slot = absl::MakeSpan(queue_).subspan(offset);
  std::copy(message.begin(), message.end(), slot.begin() + kHeaderSize);
  absl::Status status = sealer_.Seal(type, slot, message.size()).status();
  if (!status.ok()) queue_.resize(offset);
  return status;
}

absl::Status UserRecordStream::RekeyIfDue() {
  if (sealer_.sequence() < rekey_every_ && !rekey_requested_) return absl::OkStatus();
  return SealKeyUpdate();
}

absl::Status UserRecordStream::SealKeyUpdate() {
  ASSIGN_OR_RETURN(Secret next, NextSecret(secrets_.suite, secrets_.send));
  ASSIGN_OR_RETURN(const TrafficKey key, DeriveTrafficKey(secrets_.suite, next));
  ASSIGN_OR_RETURN(RecordSealer sealer, RecordSealer::Create(key));
  RETURN_IF_ERROR(SealQueued(kHandshake, kKeyUpdateMessage));
  sealer_ = std::move(sealer);
  secrets_.send = std::move(next);
  rekey_requested_ = false;
  ++keys_sent_with_;
  return absl::OkStatus();
}

UserRecordStream::Sent UserRecordStream::Write() {
  if (batch_begin_ != batch_end_) {
    const Sent sent = WritePart(batch_.span().data(), batch_end_, batch_begin_);
    if (sent != Sent::kAll) return sent;
    batch_.Reset();
  }
  if (queue_.empty()) return Sent::kAll;
  const Sent sent = WritePart(queue_.data(), queue_.size(), queue_begin_);
  if (sent == Sent::kAll) DropUnsent();
  return sent;
}

// bytes[begin, end), and advances `begin`.
UserRecordStream::Sent UserRecordStream::WritePart(const std::uint8_t* bytes, std::size_t end,
                                                   std::size_t& begin) {
  while (begin != end) {
    const ssize_t sent = send(socket_.get(), bytes + begin, end - begin, MSG_NOSIGNAL);
    if (sent >= 0) {
      begin += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      socket_.ClearWritable();
      return Sent::kBlocked;
    } else if (errno != EINTR) {
      return FailWrite(errno);
    }
  }
  return Sent::kAll;
}

void UserRecordStream::DropUnsent() {
  batch_.Reset();
  batch_begin_ = batch_end_ = 0;
  DropQueue();
}

void UserRecordStream::DropQueue() {
  std::vector<std::uint8_t>().swap(queue_);  // an idle stream keeps no memory
  queue_begin_ = 0;
  queued_control_ = 0;
}

Awaitable<absl::Status> UserRecordStream::WriteCloseNotify(MonotonicTime deadline) {
  constexpr std::uint8_t kMessage[] = {kAlertWarning, kCloseNotify};
  CO_RETURN_IF_ERROR(SealQueued(kAlert, kMessage));
  co_return co_await WaitSent(deadline);
}

// Tells the peer what it did wrong, if that can be said without waiting.
void UserRecordStream::SendAlertNow(std::uint8_t alert) {
  if (!send_status().ok() || WriteUnsent() != Sent::kAll) return;
  const std::uint8_t message[] = {kAlertFatal, alert};
  if (SealQueued(kAlert, message).ok()) (void)WriteUnsent();
  Fail(absl::FailedPreconditionError(absl::StrCat("sent alert ", AlertName(alert))));
}

}  // namespace tombolo::tls
