// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "net/buffer_pool.h"
#include "tls/arrival.h"
#include "tls/key_schedule.h"
#include "tls/record_protection.h"
#include "tls/record_stream.h"
#include "tls/sending_stream.h"

namespace tombolo::tls {

// What a record stream starts from: a socket after its handshake, with nothing
// read or written past it. Sequences other than 0 test the record budget.
struct RecordKeys {
  RecordSealer sealer;
  RecordOpener opener;
  TrafficSecrets secrets;

  static absl::StatusOr<RecordKeys> Derive(TrafficSecrets secrets, std::uint64_t send_sequence = 0,
                                           std::uint64_t receive_sequence = 0);
};

// RecordStream that seals and opens records in user space.
//
// Sending: what is sealed is written before anything else is sealed, except what is
// appended to `queue_`, which follows `batch_`, and what `queue_` has held back when a batch
// begins, which is its head; so the order of sealing is the order on the wire.
//
// Receiving, all inside one pooled buffer:
//
//   | opened, not delivered: chunks_, next_ | ciphertext: rx_begin_ .. rx_end_
//   | room |
class UserRecordStream : public SendingStream {
 public:
  UserRecordStream(net::AsyncFd socket, RecordKeys keys, net::BufferPool& pool);

  Awaitable<absl::StatusOr<Record>> Receive(MonotonicTime deadline) override;
  absl::StatusOr<Record> TryReceive() override;
  absl::Status PostControl(absl::Span<const std::uint8_t> message, bool more = false) override;
  absl::StatusOr<Step> SendFrom(net::AsyncFd& plain, std::uint64_t& moved) override;
  absl::StatusOr<Step> ReceiveTo(net::AsyncFd& plain, std::uint64_t& moved) override;
  Usage usage() const override {
    return {.sent = sealer_.sequence(),
            .received = opener_.sequence(),
            .keys_sent_with = keys_sent_with_};
  }
  bool can_rekey() const override { return true; }
  void RekeyEvery(std::uint64_t records) override { rekey_every_ = records; }
  RecordLayer layer() const override { return RecordLayer::kUser; }
  bool buffered() const override;

 private:
  // A span of opened application data inside rx_.
  struct Chunk {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
  };
  static constexpr std::size_t kMaxChunks = 16;
  static constexpr std::uint64_t kNeverRekey = ~std::uint64_t{0};

  // Sending (user_record_send.cc).
  bool unsent() const override { return batch_begin_ != batch_end_ || !queue_.empty(); }
  Sent Write() override;
  void DropUnsent() override;
  void DropQueue();
  bool OnlyHeldBack() const;
  absl::StatusOr<std::size_t> Append(absl::Span<const std::uint8_t> data) override;
  Awaitable<absl::Status> WriteCloseNotify(MonotonicTime deadline) override;
  Sent WritePart(const std::uint8_t* bytes, std::size_t end, std::size_t& begin);
  ssize_t ReadBatch(net::AsyncFd& plain, absl::Span<std::uint8_t> batch) const;
  absl::StatusOr<std::size_t> SealBatch(absl::Span<std::uint8_t> batch, std::size_t bytes);
  absl::Status SealQueued(std::uint8_t type, absl::Span<const std::uint8_t> message);
  absl::Status RekeyIfDue();
  absl::Status SealKeyUpdate();
  void SendAlertNow(std::uint8_t alert);

  // Receiving (user_record_receive.cc).
  absl::StatusOr<std::optional<RecordOpener::Opened>> NextOpened();
  absl::StatusOr<std::optional<RecordOpener::Opened>> OpenOne();
  absl::Status TakeKeyUpdate(Arrival arrival);
  absl::StatusOr<std::optional<Record>> TakeRecord();
  Record Deliver(std::uint8_t type, absl::Span<const std::uint8_t> payload);
  absl::Status Fill();
  absl::Status OpenBatch();
  void AddChunk(absl::Span<std::uint8_t> payload);
  absl::StatusOr<Step> WriteChunks(net::AsyncFd& plain, std::uint64_t& moved);
  ssize_t SendChunks(int fd);
  void ConsumeChunks(std::size_t bytes);
  void ReleaseIfEmpty();
  absl::Status FailReceive(absl::Status status);

  RecordSealer sealer_;
  net::BufferPool::Lease batch_;  // sealed application data
  std::size_t batch_begin_ = 0;   // not yet written
  std::size_t batch_end_ = 0;
  std::vector<std::uint8_t> queue_;  // sealed records behind the batch
  std::size_t queue_begin_ = 0;      // not yet written
  std::size_t queued_control_ = 0;   // bytes in queue_
  std::uint64_t rekey_every_ = kNeverRekey;
  bool rekey_requested_ = false;
  std::uint64_t keys_sent_with_ = 1;

  RecordOpener opener_;
  net::BufferPool::Lease rx_;
  std::size_t rx_begin_ = 0;
  std::size_t rx_end_ = 0;
  std::array<Chunk, kMaxChunks> chunks_;
  std::size_t chunk_count_ = 0;
  std::optional<RecordOpener::Opened> next_;  // opened behind the chunks
  std::vector<std::uint8_t> delivered_;       // a small record, so that rx_ can go
  ArrivalRules rules_{/*rekey=*/true};
  absl::Status receive_status_;  // once set, after what was opened before it
};

}  // namespace tombolo::tls
