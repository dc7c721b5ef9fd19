// SPDX-License-Identifier: Apache-2.0
// KernelRecordStream: how it begins, and its receiving half.
#include "tls/kernel_record_stream.h"

#include <sys/socket.h>

#include <cerrno>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/alert.h"
#include "tls/fairness.h"
#include "tls/record_limits.h"
#include "tls/record_protection.h"
#include "tls/status_code.h"

namespace tombolo::tls {
namespace {

absl::Status InstallKeys(int fd, const TrafficSecrets& secrets, std::uint64_t sent) {
  ASSIGN_OR_RETURN(const TrafficKey send_key, DeriveTrafficKey(secrets.suite, secrets.send));
  ASSIGN_OR_RETURN(const TrafficKey receive_key, DeriveTrafficKey(secrets.suite, secrets.receive));
  RETURN_IF_ERROR(kernel::InstallKey(fd, kernel::Direction::kSend, send_key, sent));
  return kernel::InstallKey(fd, kernel::Direction::kReceive, receive_key);
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelRecordStream>> KernelRecordStream::Create(
    net::AsyncFd socket, TrafficSecrets secrets, net::BufferPool& pool, bool rekey,
    std::uint64_t sent) {
  RETURN_IF_ERROR(InstallKeys(socket.get(), secrets, sent));
  return std::unique_ptr<KernelRecordStream>(
      new KernelRecordStream(std::move(socket), std::move(secrets), pool, rekey, sent));
}

KernelRecordStream::KernelRecordStream(net::AsyncFd socket, TrafficSecrets secrets,
                                       net::BufferPool& pool, bool rekey, std::uint64_t sent)
    : socket_(std::move(socket)),
      pool_(pool),
      secrets_(std::move(secrets)),
      rekey_(rekey),
      turn_(socket_.poller()),
      sent_at_most_(sent),
      rules_(rekey) {
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

bool KernelRecordStream::quiet() const {
  return !turn_.taken() && queue_.empty() && rx_begin_ == rx_end_;
}

Awaitable<absl::StatusOr<Record>> KernelRecordStream::Receive(MonotonicTime deadline) {
  for (;;) {
    absl::StatusOr<Record> record = TryReceive();
    if (ErrnoOf(record.status()) != EAGAIN) co_return record;
    CO_RETURN_IF_ERROR(co_await socket_.WaitReadable(deadline));
  }
}

absl::StatusOr<Record> KernelRecordStream::TryReceive() {
  if (rx_begin_ == rx_end_) {
    ASSIGN_OR_RETURN(const Record record, Read(kMaxPlaintext));
    if (record.type != kApplicationData) return record;
  }
  const auto begin = rx_.span().subspan(rx_begin_, rx_end_ - rx_begin_);
  rx_begin_ = rx_end_;
  return Deliver({.type = kApplicationData, .payload = begin});
}

Awaitable<absl::StatusOr<Record>> KernelRecordStream::ReceiveTo(net::AsyncFd& plain,
                                                                std::uint64_t& moved) {
  receive_cancelled_ = false;
  for (unsigned batches = 0;;) {
    if (receive_cancelled_) co_return absl::CancelledError("cancelled");
    if (rx_begin_ != rx_end_) {
      CO_RETURN_IF_ERROR(co_await WriteReceived(plain, moved));
      if (++batches % kBatchesPerTurn == 0) co_await GiveWay(socket_.poller());
    }
    const absl::StatusOr<Record> record = Read(net::BufferPool::kBufferSize);
    if (ErrnoOf(record.status()) == EAGAIN) {
      CO_RETURN_IF_ERROR(co_await socket_.WaitReadable());
    } else if (!record.ok() || record->type != kApplicationData) {
      co_return record;
    }
  }
}

// What comes next, of at most `limit` bytes: application data stays in rx_, and
// everything else is delivered. Unavailable with EAGAIN when nothing is there.
absl::StatusOr<Record> KernelRecordStream::Read(std::size_t limit) {
  RETURN_IF_ERROR(receive_status_);
  for (;;) {
    if (!rx_.held()) rx_ = pool_.Take();
    rx_begin_ = rx_end_ = 0;
    const kernel::Arrived arrived = kernel::Receive(socket_.get(), rx_.span().first(limit));
    if (arrived.size < 0 && errno == EINTR) continue;
    if (arrived.size < 0) return ReadError(errno);
    if (arrived.type == 0) {
      return FailReceive(absl::DataLossError("TCP ended without close_notify"));
    }
    const Record record{.type = arrived.type,
                        .payload = rx_.span().first(static_cast<std::size_t>(arrived.size))};
    const absl::StatusOr<Arrival> arrival = rules_.Judge(record.type, record.payload);
    if (!arrival.ok()) return FailReceive(arrival.status());
    if (*arrival == Arrival::kDeliver) {
      if (record.type != kApplicationData) return Deliver(record);
      rx_end_ = record.payload.size();
      return record;
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
    case EAGAIN:
      socket_.ClearReadable();
      return status;
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

Awaitable<absl::Status> KernelRecordStream::WriteReceived(net::AsyncFd& plain,
                                                          std::uint64_t& moved) {
  while (rx_begin_ != rx_end_) {
    const ssize_t sent = send(plain.get(), rx_.span().data() + rx_begin_, rx_end_ - rx_begin_,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      moved += static_cast<std::uint64_t>(sent);
      rx_begin_ += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      plain.ClearWritable();
      CO_RETURN_IF_ERROR(co_await plain.WaitWritable());
    } else if (errno != EINTR) {
      const absl::Status status = ErrnoStatus(errno, "write to the application");
      rx_begin_ = rx_end_;  // nobody is left to take it
      co_return WithCode(absl::StatusCode::kAborted, status);
    }
  }
  co_return absl::OkStatus();
}

Record KernelRecordStream::Deliver(Record record) {
  if (record.payload.size() > kSmallRecord) return record;
  delivered_.assign(record.payload.begin(), record.payload.end());
  ReleaseIfEmpty();
  return {.type = record.type, .payload = delivered_};
}

void KernelRecordStream::ReleaseIfEmpty() {
  if (rx_begin_ != rx_end_) return;
  rx_.Reset();
  rx_begin_ = rx_end_ = 0;
}

// Every error is final: a stream that broke the protocol is not looked at again.
absl::Status KernelRecordStream::FailReceive(absl::Status status) {
  receive_status_ = status;
  ReleaseIfEmpty();
  if (absl::IsPermissionDenied(status)) {
    turn_.Fail(absl::FailedPreconditionError("the peer sent a fatal alert"));
  }
  if (const std::uint8_t alert = AlertOf(status); alert != 0) SendAlertNow(alert);
  return status;
}

}  // namespace tombolo::tls
