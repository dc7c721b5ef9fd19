// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "net/async_fd.h"
#include "net/buffer_pool.h"
#include "tls/arrival.h"
#include "tls/kernel_tls.h"
#include "tls/key_schedule.h"
#include "tls/record_settings.h"
#include "tls/record_stream.h"
#include "tls/sending_stream.h"

namespace tombolo::tls {

// RecordStream whose records the kernel seals and opens: what is left to do here is
// to keep the order of writing, to read control records apart, and to count.
//
// Sending: application bytes are handed over in large pieces without MSG_MORE, so
// that no record stays open in the kernel. What is accepted may still wait inside
// the kernel as sealed records; it follows by itself as the socket drains, but not
// past a shutdown() (CloseNotify).
//
// Receiving: one recvmsg() takes many records into a pooled buffer, which is held
// only while bytes are in it.
class KernelRecordStream : public SendingStream {
 public:
  // `socket` has the tls ULP and nothing was read or written since the handshake.
  // `works`: whether this kernel can change keys, and what to splice. FailedPrecondition when
  // it refuses the keys, Unavailable when the peer has gone; the socket is closed then (fail
  // closed).
  static absl::StatusOr<std::unique_ptr<KernelRecordStream>> Create(net::AsyncFd socket,
                                                                    TrafficSecrets secrets,
                                                                    net::BufferPool& pool,
                                                                    const KernelTls& works,
                                                                    std::uint64_t sent = 0);

  Awaitable<absl::StatusOr<Record>> Receive(MonotonicTime deadline) override;
  absl::StatusOr<Record> TryReceive() override;
  absl::Status PostControl(absl::Span<const std::uint8_t> message, bool more = false) override;
  absl::StatusOr<Step> SendFrom(net::AsyncFd& plain, std::uint64_t& moved) override;
  absl::StatusOr<Step> ReceiveTo(net::AsyncFd& plain, std::uint64_t& moved) override;
  Usage usage() const override;
  bool can_rekey() const override { return works_.rekey; }
  // Both must be able to: this kernel to change its key, the peer to follow.
  void RekeyEvery(std::uint64_t records) override {
    if (works_.rekey) rekey_every_ = records;
  }
  RecordLayer layer() const override { return RecordLayer::kKernel; }
  bool buffered() const override;

 private:
  static constexpr std::uint64_t kNeverRekey = ~std::uint64_t{0};

  KernelRecordStream(net::AsyncFd socket, TrafficSecrets secrets, net::BufferPool& pool,
                     const KernelTls& works, std::uint64_t sent, std::uint64_t given_to_tcp);

  // Behind the batch: a record of a type of its own, or application data.
  struct Queued {
    std::uint8_t type;
    std::vector<std::uint8_t> bytes;
    std::size_t written = 0;  // application data only: a record goes whole
  };

  // Sending (kernel_record_send.cc).
  bool unsent() const override {
    return batch_begin_ != batch_end_ || batch_pipe_.held() || !queue_.empty();
  }
  Sent Write() override;
  void DropUnsent() override;
  absl::StatusOr<std::size_t> Append(absl::Span<const std::uint8_t> data) override;
  Awaitable<absl::Status> WriteCloseNotify(MonotonicTime deadline) override;
  Sent WriteData(const std::uint8_t* bytes, std::size_t end, std::size_t& begin);
  Sent WriteRecord(std::uint8_t type, absl::Span<const std::uint8_t> payload);
  Sent WriteQueued(Queued& queued);
  Sent WriteBatchPipe();
  absl::StatusOr<Step> CopyFrom(net::AsyncFd& plain, std::uint64_t& moved);
  absl::StatusOr<Step> SpliceFrom(net::AsyncFd& plain, std::uint64_t& moved);
  ssize_t ReadBatch(net::AsyncFd& plain, absl::Span<std::uint8_t> batch) const;
  Sent RekeyIfDue();
  absl::Status InstallNextKey();
  absl::StatusOr<bool> TcpHasAll() const;
  absl::Status CheckBudget(std::uint64_t limit);
  void SendAlertNow(std::uint8_t alert);

  // Receiving (kernel_record_stream.cc).
  enum class Got { kData, kRecord, kNothing };  // in rx_, in next_
  absl::StatusOr<Got> Read(std::size_t limit);
  absl::Status TakeKeyUpdate(Arrival arrival);
  absl::Status ReadError(int error);
  bool SpliceRecord();
  absl::StatusOr<Step> WriteReceived(net::AsyncFd& plain, std::uint64_t& moved);
  absl::StatusOr<Step> WriteReceivedPipe(net::AsyncFd& plain, std::uint64_t& moved);
  Record Deliver(Record record);
  void ReleaseIfEmpty();
  absl::Status FailReceive(absl::Status status);

  const KernelTls works_;

  // Application data that is not yet written: in the one or the other.
  net::BufferPool::Lease batch_;
  std::size_t batch_begin_ = 0;
  std::size_t batch_end_ = 0;
  net::PipePool::Lease batch_pipe_;
  bool sends_bulk_ = false;  // the last read brought much
  std::vector<Queued> queue_;
  std::size_t queue_begin_ = 0;     // not yet written
  std::size_t queued_control_ = 0;  // bytes, as on the wire
  // No fewer than the kernel has sealed under the present key.
  std::uint64_t sent_at_most_;
  std::uint64_t rekey_every_ = kNeverRekey;
  bool rekey_requested_ = false;
  std::uint64_t keys_sent_with_ = 1;
  // What the kernel has been given, to tell whether TCP has all of it.
  const std::uint64_t given_to_tcp_before_;
  std::uint64_t sent_bytes_ = 0;   // in records of all types
  std::uint64_t earlier_records_;  // of keys before the present one; less those before this

  ArrivalRules rules_;
  net::BufferPool::Lease rx_;
  std::size_t rx_begin_ = 0;  // application data not yet delivered
  std::size_t rx_end_ = 0;
  net::PipePool::Lease rx_pipe_;         // the same, instead
  bool receives_bulk_ = false;           // the last read brought much
  std::optional<Record> next_;           // a control record behind that, in rx_ or delivered_
  std::vector<std::uint8_t> delivered_;  // a small record, so that rx_ can go
  absl::Status receive_status_;          // once set, final
};

}  // namespace tombolo::tls
