// SPDX-License-Identifier: Apache-2.0
// The sending half of KernelRecordStream.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "tls/alert.h"
#include "tls/kernel_record_stream.h"
#include "tls/record_limits.h"
#include "tls/record_protection.h"
#include "tls/status_code.h"

namespace tombolo::tls {
namespace {

constexpr std::size_t kMaxBatch = net::BufferPool::kBufferSize / kMaxPlaintext;
// A read this large means that more comes: the next goes through a pipe.
constexpr std::size_t kBulk = 32 * 1024;
constexpr std::size_t kSpliceBatch = 4 * kMaxPlaintext;
// 16 pipe buffers and 16 page boundaries more, of 17 that a record has room for.
constexpr std::uint64_t kFragmentedRecords = 2;
constexpr std::size_t kAppendAtOnce = 4 * kMaxPlaintext;
constexpr Duration kFlushedSoon = std::chrono::milliseconds(1);
constexpr Duration kFlushedLater = std::chrono::milliseconds(32);
constexpr std::uint8_t kCloseNotifyMessage[] = {kAlertWarning, tls::kCloseNotify};

// Records that the kernel makes of one write of application data.
std::uint64_t RecordsOf(std::size_t bytes) { return (bytes + kMaxPlaintext - 1) / kMaxPlaintext; }

}  // namespace

absl::StatusOr<std::size_t> KernelRecordStream::Append(absl::Span<const std::uint8_t> data) {
  if (!unsent()) (void)RekeyIfDue();  // if there is no room for that yet, then later
  RETURN_IF_ERROR(send_status());
  RETURN_IF_ERROR(CheckBudget(kRecordBudget));
  const auto part = data.first(std::min(data.size(), kAppendAtOnce));
  queue_.push_back({.type = kApplicationData, .bytes = {part.begin(), part.end()}});
  return part.size();
}

absl::StatusOr<RecordStream::Step> KernelRecordStream::SendFrom(net::AsyncFd& plain,
                                                                std::uint64_t& moved) {
  RETURN_IF_ERROR(send_status());
  if (WriteUnsent() == Sent::kBlocked || sending()) return Step::kPeerBlocked;
  RETURN_IF_ERROR(send_status());
  if (!plain.readable() && plain.get() >= 0) return Step::kPlainBlocked;
  if (RekeyIfDue() == Sent::kBlocked) return Step::kPeerBlocked;
  RETURN_IF_ERROR(send_status());
  RETURN_IF_ERROR(CheckBudget(kRecordBudget));
  if (sends_bulk_ && works_.splice_send) {
    batch_pipe_ = pool_.pipes().Take();
    if (batch_pipe_.held()) return SpliceFrom(plain, moved);
  }
  return CopyFrom(plain, moved);
}

absl::StatusOr<RecordStream::Step> KernelRecordStream::CopyFrom(net::AsyncFd& plain,
                                                                std::uint64_t& moved) {
  net::BufferPool::Lease lease = pool_.Take();
  const ssize_t read = ReadBatch(plain, lease.span());
  if (read == 0) return Step::kEnd;
  if (read < 0 && errno == EAGAIN) {
    plain.ClearReadable();
    return Step::kPlainBlocked;
  }
  if (read < 0) {
    return WithCode(absl::StatusCode::kAborted, ErrnoStatus(errno, "read from the application"));
  }
  moved += static_cast<std::uint64_t>(read);
  sends_bulk_ = static_cast<std::size_t>(read) >= kBulk;
  batch_ = std::move(lease);
  batch_begin_ = 0;
  batch_end_ = static_cast<std::size_t>(read);
  if (WriteUnsent() == Sent::kFailed) return send_status();
  return Step::kMoved;
}

// Without a copy: the pages of the application's segments are what the kernel seals.
absl::StatusOr<RecordStream::Step> KernelRecordStream::SpliceFrom(net::AsyncFd& plain,
                                                                  std::uint64_t& moved) {
  const ssize_t read = batch_pipe_.FillFrom(plain.get(), kSpliceBatch);
  const int error = errno;
  if (read <= 0) batch_pipe_.Reset();
  if (read == 0) return Step::kEnd;
  if (read < 0 && error == EAGAIN) {
    plain.ClearReadable();
    return Step::kPlainBlocked;
  }
  if (read < 0) {
    return WithCode(absl::StatusCode::kAborted, ErrnoStatus(error, "read from the application"));
  }
  moved += static_cast<std::uint64_t>(read);
  sends_bulk_ = static_cast<std::size_t>(read) >= kMaxPlaintext;
  if (WriteUnsent() == Sent::kFailed) return send_status();
  return Step::kMoved;
}

// No more than the key may still carry.
ssize_t KernelRecordStream::ReadBatch(net::AsyncFd& plain, absl::Span<std::uint8_t> batch) const {
  const std::uint64_t records = std::min<std::uint64_t>(kRecordBudget - sent_at_most_, kMaxBatch);
  const std::size_t room = records * kMaxPlaintext;
  ssize_t got;
  do {
    got = recv(plain.get(), batch.data(), room, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got > 0 && static_cast<std::size_t>(got) < room) plain.ClearReadableAfterShortRead();
  return got;
}

absl::Status KernelRecordStream::PostControl(absl::Span<const std::uint8_t> message, bool more) {
  RETURN_IF_ERROR(CheckControlSize(message.size()));
  RETURN_IF_ERROR(send_status());
  RETURN_IF_ERROR(CheckBudget(kRecordBudget + kControlReserve));
  const std::size_t size = message.size() + kRecordOverhead;
  if (queued_control_ + size > kMaxQueuedControl) return ControlQueueFull();
  queued_control_ += size;
  queue_.push_back({.type = kControl, .bytes = {message.begin(), message.end()}});
  if (more || WriteUnsent() != Sent::kFailed) return absl::OkStatus();
  return send_status();
}

KernelRecordStream::Sent KernelRecordStream::Write() {
  if (batch_begin_ != batch_end_) {
    const Sent sent = WriteData(batch_.span().data(), batch_end_, batch_begin_);
    if (sent != Sent::kAll) return sent;
    batch_.Reset();
  }
  if (batch_pipe_.held()) {
    const Sent sent = WriteBatchPipe();
    if (sent != Sent::kAll) return sent;
  }
  for (; queue_begin_ != queue_.size(); ++queue_begin_) {
    const Sent sent = WriteQueued(queue_[queue_begin_]);
    if (sent != Sent::kAll) return sent;
  }
  DropUnsent();
  return Sent::kAll;
}

// Never SPLICE_F_MORE: see WriteData.
KernelRecordStream::Sent KernelRecordStream::WriteBatchPipe() {
  while (batch_pipe_.bytes() > 0) {
    const ssize_t sent = batch_pipe_.DrainTo(socket_.get());
    if (sent > 0) {
      sent_bytes_ += static_cast<std::uint64_t>(sent);
      // A record also ends where the kernel's list of page fragments is full.
      sent_at_most_ += RecordsOf(static_cast<std::size_t>(sent)) + kFragmentedRecords;
    } else if (sent < 0 && errno == EAGAIN) {
      socket_.ClearWritable();
      return Sent::kBlocked;
    } else {
      return FailWrite(sent == 0 ? EPIPE : errno);
    }
  }
  batch_pipe_.Reset();
  return Sent::kAll;
}

KernelRecordStream::Sent KernelRecordStream::WriteQueued(Queued& queued) {
  if (queued.type != kApplicationData) return WriteRecord(queued.type, queued.bytes);
  return WriteData(queued.bytes.data(), queued.bytes.size(), queued.written);
}

// bytes[begin, end), and advances `begin`. No MSG_MORE: a record that is left open is
// invisible to the peer, and a shutdown throws it away.
KernelRecordStream::Sent KernelRecordStream::WriteData(const std::uint8_t* bytes, std::size_t end,
                                                       std::size_t& begin) {
  while (begin != end) {
    const ssize_t sent =
        send(socket_.get(), bytes + begin, end - begin, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      sent_bytes_ += static_cast<std::uint64_t>(sent);
      sent_at_most_ += RecordsOf(static_cast<std::size_t>(sent));
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

KernelRecordStream::Sent KernelRecordStream::WriteRecord(std::uint8_t type,
                                                         absl::Span<const std::uint8_t> payload) {
  for (;;) {
    const ssize_t sent = kernel::SendRecord(socket_.get(), type, payload);
    if (sent == static_cast<ssize_t>(payload.size())) break;
    if (sent >= 0) {
      Fail(absl::InternalError("the kernel cut a control record in two"));
      return Sent::kFailed;
    }
    if (errno == EAGAIN) {
      socket_.ClearWritable();
      return Sent::kBlocked;
    }
    if (errno != EINTR) return FailWrite(errno);
  }
  sent_bytes_ += payload.size();
  ++sent_at_most_;
  return Sent::kAll;
}

void KernelRecordStream::DropUnsent() {
  batch_.Reset();
  batch_begin_ = batch_end_ = 0;
  batch_pipe_.Reset();
  std::vector<Queued>().swap(queue_);  // an idle stream keeps no memory
  queue_begin_ = 0;
  queued_control_ = 0;
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

// Nothing is unsent. kBlocked: there is no room for the KeyUpdate yet.
KernelRecordStream::Sent KernelRecordStream::RekeyIfDue() {
  if (sent_at_most_ < rekey_every_ && !rekey_requested_) return Sent::kAll;
  const Sent sent = WriteRecord(kHandshake, kKeyUpdateMessage);
  if (sent != Sent::kAll) return sent;
  // The peer waits for the next key now: without it the stream cannot go on.
  const absl::Status installed = InstallNextKey();
  if (installed.ok()) return Sent::kAll;
  Fail(installed);
  return Sent::kFailed;
}

absl::Status KernelRecordStream::InstallNextKey() {
  ASSIGN_OR_RETURN(const std::uint64_t records,
                   kernel::Sequence(socket_.get(), kernel::Direction::kSend, secrets_.suite));
  ASSIGN_OR_RETURN(Secret next, NextSecret(secrets_.suite, secrets_.send));
  ASSIGN_OR_RETURN(const TrafficKey key, DeriveTrafficKey(secrets_.suite, next));
  RETURN_IF_ERROR(kernel::InstallKey(socket_.get(), kernel::Direction::kSend, key));
  secrets_.send = std::move(next);
  earlier_records_ += records;
  sent_at_most_ = 0;
  rekey_requested_ = false;
  ++keys_sent_with_;
  return absl::OkStatus();
}

// shutdown() drops records that the kernel has sealed but found no room for
// (net/tls/tls_sw.c, tls_sw_release_resources_tx), and poll() calls a socket writable that
// still has such records: only TCP's own count tells. The kernel hands them on by itself as
// room comes (tls_sw_write_space), which raises no edge of its own.
Awaitable<absl::Status> KernelRecordStream::WriteCloseNotify(MonotonicTime deadline) {
  queue_.push_back(
      {.type = kAlert, .bytes = {std::begin(kCloseNotifyMessage), std::end(kCloseNotifyMessage)}});
  CO_RETURN_IF_ERROR(co_await WaitSent(deadline));
  for (Duration pause = kFlushedSoon;; pause = std::min(2 * pause, kFlushedLater)) {
    CO_ASSIGN_OR_RETURN(const bool flushed, TcpHasAll());
    if (flushed) co_return absl::OkStatus();
    const MonotonicTime next = After(pause);
    if (next > deadline) co_return absl::DeadlineExceededError("timed out waiting to send");
    net::Waiter waiter(socket_.poller());
    const net::Waiter::End end = co_await waiter.Wait(next);
    if (end == net::Waiter::End::kCancelled) co_return absl::CancelledError("cancelled");
  }
}

// Whether everything that was sent is TCP's by now; nothing is unsent.
absl::StatusOr<bool> KernelRecordStream::TcpHasAll() const {
  ASSIGN_OR_RETURN(const std::uint64_t records,
                   kernel::Sequence(socket_.get(), kernel::Direction::kSend, secrets_.suite));
  ASSIGN_OR_RETURN(const std::uint64_t given, net::BytesGivenToTcp(socket_.get()));
  const std::uint64_t sealed = sent_bytes_ + (earlier_records_ + records) * kRecordOverhead;
  return given - given_to_tcp_before_ >= sealed;
}

// Tells the peer what it did wrong, if that can be said without waiting.
void KernelRecordStream::SendAlertNow(std::uint8_t alert) {
  // A record that could not be opened is an error of the socket as well, which would
  // meet the next write.
  (void)net::TakeError(socket_.get());
  if (!send_status().ok() || WriteUnsent() != Sent::kAll) return;
  const std::uint8_t message[] = {kAlertFatal, alert};
  (void)kernel::SendRecord(socket_.get(), kAlert, message);
  Fail(absl::FailedPreconditionError(absl::StrCat("sent alert ", AlertName(alert))));
}

}  // namespace tombolo::tls
