// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "net/async_fd.h"
#include "net/buffer_pool.h"
#include "tls/arrival.h"
#include "tls/kernel_tls.h"
#include "tls/key_schedule.h"
#include "tls/record_stream.h"
#include "tls/send_turn.h"

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
class KernelRecordStream : public RecordStream {
 public:
  // `socket` has the tls ULP and nothing was read or written since the handshake.
  // `rekey`: whether this kernel can change keys (6.14). FailedPrecondition when it
  // refuses the keys; the socket is closed then and must not be used (fail closed).
  static absl::StatusOr<std::unique_ptr<KernelRecordStream>> Create(net::AsyncFd socket,
                                                                    TrafficSecrets secrets,
                                                                    net::BufferPool& pool,
                                                                    bool rekey,
                                                                    std::uint64_t sent = 0);

  Awaitable<absl::StatusOr<Record>> Receive(MonotonicTime deadline) override;
  absl::StatusOr<Record> TryReceive() override;
  Awaitable<absl::Status> Send(absl::Span<const std::uint8_t> data,
                               MonotonicTime deadline) override;
  Awaitable<absl::Status> SendControl(absl::Span<const std::uint8_t> message,
                                      MonotonicTime deadline) override;
  Awaitable<absl::StatusOr<std::size_t>> SendFrom(net::AsyncFd& plain) override;
  Awaitable<absl::StatusOr<Record>> ReceiveTo(net::AsyncFd& plain, std::uint64_t& moved) override;
  Awaitable<void> CloseNotify(MonotonicTime deadline) override;
  void CancelReceive() override {
    receive_cancelled_ = true;
    socket_.CancelRead();
  }
  Usage usage() const override;
  bool can_rekey() const override { return rekey_; }
  // Both must be able to: this kernel to change its key, the peer to follow.
  void RekeyEvery(std::uint64_t records) override {
    if (rekey_) rekey_every_ = records;
  }
  RecordLayer layer() const override { return RecordLayer::kKernel; }
  bool quiet() const override;
  net::AsyncFd& socket() override { return socket_; }
  const net::AsyncFd& socket() const override { return socket_; }

 private:
  static constexpr std::uint64_t kNeverRekey = ~std::uint64_t{0};

  KernelRecordStream(net::AsyncFd socket, TrafficSecrets secrets, net::BufferPool& pool, bool rekey,
                     std::uint64_t sent);

  // Sending (kernel_record_send.cc). The caller holds the turn.
  Awaitable<absl::StatusOr<std::size_t>> MoveBatch(net::AsyncFd& plain);
  Awaitable<absl::Status> Write(absl::Span<const std::uint8_t> data, MonotonicTime deadline);
  Awaitable<absl::Status> WriteRecord(std::uint8_t type, absl::Span<const std::uint8_t> payload,
                                      MonotonicTime deadline);
  Awaitable<absl::Status> WriteQueue(MonotonicTime deadline);
  Awaitable<absl::Status> RekeyIfDue(MonotonicTime deadline);
  Awaitable<absl::Status> Prepare(MonotonicTime deadline);
  Awaitable<absl::Status> WaitForRoom(MonotonicTime deadline);
  absl::StatusOr<std::size_t> ReadBatch(net::AsyncFd& plain, absl::Span<std::uint8_t> batch);
  absl::Status CheckBudget(std::uint64_t limit);
  void SendAlertNow(std::uint8_t alert);

  // Receiving (kernel_record_stream.cc).
  absl::StatusOr<Record> Read(std::size_t limit);
  absl::Status TakeKeyUpdate(Arrival arrival);
  absl::Status ReadError(int error);
  Awaitable<absl::Status> WriteReceived(net::AsyncFd& plain, std::uint64_t& moved);
  Record Deliver(Record record);
  void ReleaseIfEmpty();
  absl::Status FailReceive(absl::Status status);

  net::AsyncFd socket_;
  net::BufferPool& pool_;
  TrafficSecrets secrets_;
  const bool rekey_;

  SendTurn turn_;
  // Control messages that came while somebody else was writing.
  std::vector<std::vector<std::uint8_t>> queue_;
  std::size_t queued_ = 0;  // bytes
  // No fewer than the kernel has sealed under the present key.
  std::uint64_t sent_at_most_;
  std::uint64_t rekey_every_ = kNeverRekey;
  bool rekey_requested_ = false;
  std::uint64_t keys_sent_with_ = 1;
  unsigned batches_sent_ = 0;

  bool receive_cancelled_ = false;  // since the present ReceiveTo() began
  ArrivalRules rules_;
  net::BufferPool::Lease rx_;
  std::size_t rx_begin_ = 0;  // application data not yet delivered
  std::size_t rx_end_ = 0;
  std::vector<std::uint8_t> delivered_;  // a small record, so that rx_ can go
  absl::Status receive_status_;          // once set, final
};

}  // namespace tombolo::tls
