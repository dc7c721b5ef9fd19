// SPDX-License-Identifier: Apache-2.0
// The receiving half of UserRecordStream.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/record_limits.h"
#include "tls/status_code.h"
#include "tls/user_record_stream.h"

namespace tombolo::tls {
namespace {

// Below this a copy is cheaper than one more element for the kernel to walk.
constexpr std::size_t kCopyBelow = 2048;

}  // namespace

absl::StatusOr<RecordKeys> RecordKeys::Derive(TrafficSecrets secrets, std::uint64_t send_sequence,
                                              std::uint64_t receive_sequence) {
  ASSIGN_OR_RETURN(const TrafficKey send_key, DeriveTrafficKey(secrets.suite, secrets.send));
  ASSIGN_OR_RETURN(const TrafficKey receive_key, DeriveTrafficKey(secrets.suite, secrets.receive));
  ASSIGN_OR_RETURN(RecordSealer sealer, RecordSealer::Create(send_key, send_sequence));
  ASSIGN_OR_RETURN(RecordOpener opener, RecordOpener::Create(receive_key, receive_sequence));
  return RecordKeys{
      .sealer = std::move(sealer), .opener = std::move(opener), .secrets = std::move(secrets)};
}

UserRecordStream::UserRecordStream(net::AsyncFd socket, RecordKeys keys, net::BufferPool& pool)
    : SendingStream(std::move(socket), pool, std::move(keys.secrets)),
      sealer_(std::move(keys.sealer)),
      opener_(std::move(keys.opener)) {}

bool UserRecordStream::buffered() const {
  return rx_begin_ != rx_end_ || chunk_count_ > 0 || next_;
}

Awaitable<absl::StatusOr<Record>> UserRecordStream::Receive(MonotonicTime deadline) {
  for (;;) {
    CO_ASSIGN_OR_RETURN(const std::optional<Record> record, TakeRecord());
    if (record) co_return *record;
    if (!socket_.readable()) {
      ReleaseIfEmpty();
      CO_RETURN_IF_ERROR(co_await socket_.WaitReadable(deadline));
    }
    absl::Status filled = Fill();
    if (ErrnoOf(filled) == EAGAIN) continue;
    CO_RETURN_IF_ERROR(filled);
  }
}

absl::StatusOr<Record> UserRecordStream::TryReceive() {
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<Record> record, TakeRecord());
    if (record) return *record;
    RETURN_IF_ERROR(Fill());
  }
}

absl::StatusOr<RecordStream::Step> UserRecordStream::ReceiveTo(net::AsyncFd& plain,
                                                               std::uint64_t& moved) {
  absl::Status opened = OpenBatch();
  if (opened.ok() && chunk_count_ == 0 && !next_) {
    if (!socket_.readable() && socket_.get() >= 0) {
      ReleaseIfEmpty();
      return Step::kPeerBlocked;
    }
    absl::Status filled = Fill();
    if (ErrnoOf(filled) == EAGAIN) return Step::kPeerBlocked;
    RETURN_IF_ERROR(filled);
    opened = OpenBatch();
  }
  // What came before an error still belongs to the application.
  if (chunk_count_ > 0 && !plain.writable() && plain.get() >= 0) return Step::kPlainBlocked;
  if (chunk_count_ > 0) return WriteChunks(plain, moved);
  if (next_) return Step::kControl;
  RETURN_IF_ERROR(opened);
  return Step::kMoved;  // a part of a record
}

// One read behind the ciphertext. All that is left of that is part of one
// record, because callers open every whole one first.
absl::Status UserRecordStream::Fill() {
  RETURN_IF_ERROR(receive_status_);
  if (!rx_.held()) rx_ = pool_.Take();
  const absl::Span<std::uint8_t> buffer = rx_.span();
  std::memmove(buffer.data(), buffer.data() + rx_begin_, rx_end_ - rx_begin_);
  rx_end_ -= std::exchange(rx_begin_, 0);
  ssize_t got;
  do {
    got = recv(socket_.get(), buffer.data() + rx_end_, buffer.size() - rx_end_, 0);
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    const std::size_t room = buffer.size() - rx_end_;
    rx_end_ += static_cast<std::size_t>(got);
    if (static_cast<std::size_t>(got) < room) socket_.ClearReadableAfterShortRead();
    return absl::OkStatus();
  }
  const int error = errno;
  ReleaseIfEmpty();
  if (got == 0) return FailReceive(absl::DataLossError("TCP ended without close_notify"));
  const absl::Status status = ErrnoStatus(error, "receive from the peer");
  if (error != EAGAIN) return FailReceive(WithCode(absl::StatusCode::kUnavailable, status));
  socket_.ClearReadable();
  return status;
}

void UserRecordStream::ReleaseIfEmpty() {
  if (buffered()) return;
  rx_.Reset();
  rx_begin_ = rx_end_ = 0;
}

// Every error is final: a stream that broke the protocol is not looked at
// again.
absl::Status UserRecordStream::FailReceive(absl::Status status) {
  receive_status_ = status;
  if (absl::IsPermissionDenied(status)) {
    Fail(absl::FailedPreconditionError("the peer sent a fatal alert"));
  }
  if (const std::uint8_t alert = AlertOf(status); alert != 0) SendAlertNow(alert);
  return status;
}

absl::StatusOr<std::optional<RecordOpener::Opened>> UserRecordStream::OpenOne() {
  const absl::Span<std::uint8_t> bytes = rx_.held() ? rx_.span() : absl::Span<std::uint8_t>();
  const std::size_t left = rx_end_ - rx_begin_;
  if (left < kHeaderSize) return std::nullopt;
  ASSIGN_OR_RETURN(const std::size_t size, RecordSize(bytes.subspan(rx_begin_, kHeaderSize)));
  if (left < size) return std::nullopt;
  ASSIGN_OR_RETURN(const RecordOpener::Opened opened, opener_.Open(bytes.subspan(rx_begin_, size)));
  rx_begin_ += size;
  return opened;
}

// The next whole record with something in it; none when more bytes are needed.
absl::StatusOr<std::optional<RecordOpener::Opened>> UserRecordStream::NextOpened() {
  RETURN_IF_ERROR(receive_status_);
  for (;;) {
    absl::StatusOr<std::optional<RecordOpener::Opened>> opened = OpenOne();
    if (!opened.ok()) return FailReceive(opened.status());
    if (!opened->has_value()) return std::nullopt;
    const absl::StatusOr<Arrival> arrival = rules_.Judge((*opened)->type, (*opened)->payload);
    if (!arrival.ok()) return FailReceive(arrival.status());
    if (*arrival == Arrival::kDeliver) return opened;
    if (*arrival != Arrival::kSkip) {
      if (absl::Status taken = TakeKeyUpdate(*arrival); !taken.ok()) return FailReceive(taken);
    }
  }
}

// What lies behind it in the buffer is under the next key already.
absl::Status UserRecordStream::TakeKeyUpdate(Arrival arrival) {
  ASSIGN_OR_RETURN(secrets_.receive, NextSecret(secrets_.suite, secrets_.receive));
  ASSIGN_OR_RETURN(const TrafficKey key, DeriveTrafficKey(secrets_.suite, secrets_.receive));
  ASSIGN_OR_RETURN(opener_, RecordOpener::Create(key));
  if (arrival == Arrival::kKeyUpdateAndRequest) rekey_requested_ = true;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Record>> UserRecordStream::TakeRecord() {
  if (chunk_count_ > 0) {  // left by a ReceiveTo() that was cancelled
    const Chunk chunk = chunks_[0];
    ConsumeChunks(chunk.size);
    return Deliver(kApplicationData, rx_.span().subspan(chunk.offset, chunk.size));
  }
  if (next_) {
    const RecordOpener::Opened record = *std::exchange(next_, std::nullopt);
    return Deliver(record.type, record.payload);
  }
  ASSIGN_OR_RETURN(const std::optional<RecordOpener::Opened> opened, NextOpened());
  if (!opened) return std::nullopt;
  return Deliver(opened->type, opened->payload);
}

Record UserRecordStream::Deliver(std::uint8_t type, absl::Span<const std::uint8_t> payload) {
  const bool last = rx_begin_ == rx_end_ && chunk_count_ == 0 && !next_;
  if (!last || payload.size() > kSmallRecord) return {.type = type, .payload = payload};
  delivered_.assign(payload.begin(), payload.end());
  ReleaseIfEmpty();
  return {.type = type, .payload = delivered_};
}

// Opens what can be opened, up to the next control record.
absl::Status UserRecordStream::OpenBatch() {
  while (chunk_count_ < kMaxChunks && !next_) {
    ASSIGN_OR_RETURN(const std::optional<RecordOpener::Opened> opened, NextOpened());
    if (!opened) return absl::OkStatus();
    if (opened->type == kApplicationData) {
      AddChunk(opened->payload);
    } else {
      next_ = opened;
    }
  }
  return absl::OkStatus();
}

void UserRecordStream::AddChunk(absl::Span<std::uint8_t> payload) {
  std::uint8_t* const start = rx_.span().data();
  if (chunk_count_ > 0 && payload.size() < kCopyBelow) {
    Chunk& last = chunks_[chunk_count_ - 1];
    std::memmove(start + last.offset + last.size, payload.data(), payload.size());
    last.size += payload.size();
    return;
  }
  chunks_[chunk_count_++] = {.offset = static_cast<std::uint32_t>(payload.data() - start),
                             .size = static_cast<std::uint32_t>(payload.size())};
}

absl::StatusOr<RecordStream::Step> UserRecordStream::WriteChunks(net::AsyncFd& plain,
                                                                 std::uint64_t& moved) {
  while (chunk_count_ > 0) {
    const ssize_t sent = SendChunks(plain.get());
    if (sent >= 0) {
      moved += static_cast<std::uint64_t>(sent);
      ConsumeChunks(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      plain.ClearWritable();
      return Step::kPlainBlocked;
    } else if (errno != EINTR) {
      const absl::Status status = ErrnoStatus(errno, "write to the application");
      chunk_count_ = 0;  // nobody is left to take it
      return WithCode(absl::StatusCode::kAborted, status);
    }
  }
  return Step::kMoved;
}

ssize_t UserRecordStream::SendChunks(int fd) {
  iovec parts[kMaxChunks];
  for (std::size_t i = 0; i < chunk_count_; ++i) {
    parts[i] = {rx_.span().data() + chunks_[i].offset, chunks_[i].size};
  }
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = chunk_count_;
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

void UserRecordStream::ConsumeChunks(std::size_t bytes) {
  std::size_t whole = 0;
  while (whole < chunk_count_ && chunks_[whole].size <= bytes) bytes -= chunks_[whole++].size;
  if (whole < chunk_count_) {
    chunks_[whole].offset += bytes;
    chunks_[whole].size -= bytes;
  }
  std::move(chunks_.begin() + whole, chunks_.begin() + chunk_count_, chunks_.begin());
  chunk_count_ -= whole;
}

}  // namespace tombolo::tls
