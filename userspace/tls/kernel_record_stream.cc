// SPDX-License-Identifier: Apache-2.0
// KernelRecordStream: how it begins, and its receiving half.
#include "tls/kernel_record_stream.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "tls/alert.h"
#include "tls/record_limits.h"
#include "tls/record_protection.h"
#include "tls/status_code.h"

namespace tombolo::tls {
namespace {

// From here on a pipe is worth its two system calls more.
constexpr std::size_t kBulk = 32 * 1024;
// Only what a record, however its pages lie, has room for in an empty pipe: kernels up to
// 6.12.111 drop the rest ("fix silent data drop under pipe back-pressure").
constexpr std::size_t kSpliceRecord = kMaxPlaintext;
constexpr std::uint8_t kSomeData[1] = {};  // spliced bytes are not seen

absl::Status InstallKeys(int fd, const TrafficSecrets& secrets, std::uint64_t sent) {
  ASSIGN_OR_RETURN(const TrafficKey send_key, DeriveTrafficKey(secrets.suite, secrets.send));
  ASSIGN_OR_RETURN(const TrafficKey receive_key, DeriveTrafficKey(secrets.suite, secrets.receive));
  RETURN_IF_ERROR(kernel::InstallKey(fd, kernel::Direction::kSend, send_key, sent));
  return kernel::InstallKey(fd, kernel::Direction::kReceive, receive_key);
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelRecordStream>> KernelRecordStream::Create(
    net::AsyncFd socket, TrafficSecrets secrets, net::BufferPool& pool, const KernelTls& works,
    std::uint64_t sent) {
  RETURN_IF_ERROR(InstallKeys(socket.get(), secrets, sent));
  if (works.no_padding) RETURN_IF_ERROR(kernel::ExpectNoPadding(socket.get()));
  ASSIGN_OR_RETURN(const std::uint64_t given_to_tcp, net::BytesGivenToTcp(socket.get()));
  return std::unique_ptr<KernelRecordStream>(new KernelRecordStream(
      std::move(socket), std::move(secrets), pool, works, sent, given_to_tcp));
}

KernelRecordStream::KernelRecordStream(net::AsyncFd socket, TrafficSecrets secrets,
                                       net::BufferPool& pool, const KernelTls& works,
                                       std::uint64_t sent, std::uint64_t given_to_tcp)
    : SendingStream(std::move(socket), pool, std::move(secrets)),
      works_(works),
      sent_at_most_(sent),
      given_to_tcp_before_(given_to_tcp),
      earlier_records_(0 - sent),
      rules_(works.rekey) {
  // Records that came before the keys did not raise an edge of their own.
  socket_.MarkReadable();
}

RecordStream::Usage KernelRecordStream::usage() const {
  Usage usage{.sent = sent_at_most_, .received = 0, .keys_sent_with = keys_sent_with_};
  if (socket_.get() >= 0) {
    usage.received =
        kernel::Sequence(socket_.get(), kernel::Direction::kReceive, secrets_.suite).value_or(0);
  }
  return usage;
}

bool KernelRecordStream::buffered() const {
  return rx_begin_ != rx_end_ || rx_pipe_.held() || next_;
}

Awaitable<absl::StatusOr<Record>> KernelRecordStream::Receive(MonotonicTime deadline) {
  for (;;) {
    absl::StatusOr<Record> record = TryReceive();
    if (ErrnoOf(record.status()) != EAGAIN) co_return record;
    CO_RETURN_IF_ERROR(co_await socket_.WaitReadable(deadline));
  }
}

absl::StatusOr<Record> KernelRecordStream::TryReceive() {
  if (rx_pipe_.held()) {  // left by a ReceiveTo() whose socket has gone
    if (!rx_.held()) rx_ = pool_.Take();
    const ssize_t got = rx_pipe_.Read(rx_.span().data(), kMaxPlaintext);
    rx_begin_ = 0;
    rx_end_ = got > 0 ? static_cast<std::size_t>(got) : 0;
    if (rx_pipe_.bytes() == 0 || got <= 0) rx_pipe_.Reset();
  }
  if (rx_begin_ == rx_end_ && !next_) {
    ASSIGN_OR_RETURN(const Got got, Read(kMaxPlaintext));
    if (got == Got::kNothing) return ErrnoStatus(EAGAIN, "receive from the peer");
  }
  if (rx_begin_ == rx_end_) return Deliver(*std::exchange(next_, std::nullopt));
  const auto begin = rx_.span().subspan(rx_begin_, rx_end_ - rx_begin_);
  rx_begin_ = rx_end_;
  return Deliver({.type = kApplicationData, .payload = begin});
}

absl::StatusOr<RecordStream::Step> KernelRecordStream::ReceiveTo(net::AsyncFd& plain,
                                                                 std::uint64_t& moved) {
  if (!plain.writable() && plain.get() >= 0 && buffered()) return Step::kPlainBlocked;
  if (rx_begin_ != rx_end_) return WriteReceived(plain, moved);
  if (rx_pipe_.held()) return WriteReceivedPipe(plain, moved);
  if (next_) return Step::kControl;
  if (!socket_.readable() && socket_.get() >= 0) return Step::kPeerBlocked;
  if (receives_bulk_ && works_.splice_receive && SpliceRecord()) {
    return WriteReceivedPipe(plain, moved);
  }
  ASSIGN_OR_RETURN(const Got got, Read(net::BufferPool::kBufferSize));
  switch (got) {
    case Got::kData:
      return WriteReceived(plain, moved);
    case Got::kRecord:
      return Step::kControl;
    case Got::kNothing:
      break;
  }
  return Step::kPeerBlocked;
}

// Moves the next record into a pipe, if it is application data and here. If not, reading
// finds out what else it is.
bool KernelRecordStream::SpliceRecord() {
  if (!receive_status_.ok()) return false;
  rx_pipe_ = pool_.pipes().Take();
  if (!rx_pipe_.held()) return false;
  const ssize_t moved = rx_pipe_.FillFrom(socket_.get(), kSpliceRecord);
  if (moved <= 0) {
    rx_pipe_.Reset();
    receives_bulk_ = false;
    return false;
  }
  receives_bulk_ = static_cast<std::size_t>(moved) >= kMaxPlaintext / 2;
  (void)rules_.Judge(kApplicationData, kSomeData);
  return true;
}

absl::StatusOr<RecordStream::Step> KernelRecordStream::WriteReceivedPipe(net::AsyncFd& plain,
                                                                         std::uint64_t& moved) {
  while (rx_pipe_.bytes() > 0) {
    const ssize_t sent = rx_pipe_.DrainTo(plain.get());
    if (sent > 0) {
      moved += static_cast<std::uint64_t>(sent);
    } else if (sent < 0 && errno == EAGAIN) {
      plain.ClearWritable();
      return Step::kPlainBlocked;
    } else {
      const absl::Status status =
          ErrnoStatus(sent == 0 ? EPIPE : errno, "write to the application");
      return WithCode(absl::StatusCode::kAborted, status);
    }
  }
  rx_pipe_.Reset();
  return Step::kMoved;
}

// What comes next, of at most `limit` bytes: application data stays in rx_, a record of
// another type in next_.
absl::StatusOr<KernelRecordStream::Got> KernelRecordStream::Read(std::size_t limit) {
  RETURN_IF_ERROR(receive_status_);
  for (;;) {
    if (!rx_.held()) rx_ = pool_.Take();
    rx_begin_ = rx_end_ = 0;
    const kernel::Arrived arrived = kernel::Receive(socket_.get(), rx_.span().first(limit));
    if (arrived.size < 0 && errno == EINTR) continue;
    if (arrived.size < 0 && errno == EAGAIN) {
      ReleaseIfEmpty();
      socket_.ClearReadable();
      return Got::kNothing;
    }
    if (arrived.size < 0) return ReadError(errno);
    if (arrived.type == 0) {
      return FailReceive(absl::DataLossError("TCP ended without close_notify"));
    }
    const Record record{.type = arrived.type,
                        .payload = rx_.span().first(static_cast<std::size_t>(arrived.size))};
    const absl::StatusOr<Arrival> arrival = rules_.Judge(record.type, record.payload);
    if (!arrival.ok()) return FailReceive(arrival.status());
    if (*arrival == Arrival::kDeliver) {
      if (record.type != kApplicationData) {
        next_ = record;
        return Got::kRecord;
      }
      rx_end_ = record.payload.size();
      receives_bulk_ = rx_end_ >= kBulk;
      return Got::kData;
    }
    if (*arrival != Arrival::kSkip) {
      if (absl::Status taken = TakeKeyUpdate(*arrival); !taken.ok()) return FailReceive(taken);
    }
  }
}

absl::Status KernelRecordStream::ReadError(int error) {
  ReleaseIfEmpty();
  absl::Status status = ErrnoStatus(error, "receive from the peer");
  switch (error) {
    // What the kernel says of records that break the protocol (net/tls/tls_sw.c).
    case EBADMSG:
      return FailReceive(
          WithAlert(WithCode(absl::StatusCode::kInvalidArgument, status), kBadRecordMac));
    case EMSGSIZE:
      return FailReceive(
          WithAlert(WithCode(absl::StatusCode::kInvalidArgument, status), kRecordOverflow));
    case EINVAL:
      return FailReceive(
          WithAlert(WithCode(absl::StatusCode::kInvalidArgument, status), kUnexpectedMessage));
    default:
      return FailReceive(WithCode(absl::StatusCode::kUnavailable, status));
  }
}

// The kernel opens nothing more until it has the next key.
absl::Status KernelRecordStream::TakeKeyUpdate(Arrival arrival) {
  ASSIGN_OR_RETURN(secrets_.receive, NextSecret(secrets_.suite, secrets_.receive));
  ASSIGN_OR_RETURN(const TrafficKey key, DeriveTrafficKey(secrets_.suite, secrets_.receive));
  RETURN_IF_ERROR(kernel::InstallKey(socket_.get(), kernel::Direction::kReceive, key));
  if (arrival == Arrival::kKeyUpdateAndRequest) rekey_requested_ = true;
  return absl::OkStatus();
}

absl::StatusOr<RecordStream::Step> KernelRecordStream::WriteReceived(net::AsyncFd& plain,
                                                                     std::uint64_t& moved) {
  while (rx_begin_ != rx_end_) {
    const ssize_t sent = send(plain.get(), rx_.span().data() + rx_begin_, rx_end_ - rx_begin_,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      moved += static_cast<std::uint64_t>(sent);
      rx_begin_ += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      plain.ClearWritable();
      return Step::kPlainBlocked;
    } else if (errno != EINTR) {
      const absl::Status status = ErrnoStatus(errno, "write to the application");
      rx_begin_ = rx_end_;  // nobody is left to take it
      return WithCode(absl::StatusCode::kAborted, status);
    }
  }
  if (!socket_.readable()) ReleaseIfEmpty();
  return Step::kMoved;
}

Record KernelRecordStream::Deliver(Record record) {
  if (record.payload.size() > kSmallRecord) return record;
  delivered_.assign(record.payload.begin(), record.payload.end());
  ReleaseIfEmpty();
  return {.type = record.type, .payload = delivered_};
}

void KernelRecordStream::ReleaseIfEmpty() {
  if (buffered()) return;
  rx_.Reset();
  rx_begin_ = rx_end_ = 0;
}

// Every error is final: a stream that broke the protocol is not looked at again.
absl::Status KernelRecordStream::FailReceive(absl::Status status) {
  receive_status_ = status;
  ReleaseIfEmpty();
  if (absl::IsPermissionDenied(status)) {
    Fail(absl::FailedPreconditionError("the peer sent a fatal alert"));
  }
  if (const std::uint8_t alert = AlertOf(status); alert != 0) SendAlertNow(alert);
  return status;
}

}  // namespace tombolo::tls
