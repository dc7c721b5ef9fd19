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
#include "tls/send_turn.h"

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
// Sending: whoever holds the turn writes until nothing is left. What others seal
// meanwhile is appended to `unsent_`, so the order of sealing is the order on the
// wire.
//
// Receiving, all inside one pooled buffer:
//
//   | opened, not delivered: chunks_, next_ | ciphertext: rx_begin_ .. rx_end_
//   | room |
class UserRecordStream : public RecordStream {
 public:
  UserRecordStream(net::AsyncFd socket, RecordKeys keys, net::BufferPool& pool);

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
  Usage usage() const override {
    return {.sent = sealer_.sequence(),
            .received = opener_.sequence(),
            .keys_sent_with = keys_sent_with_};
  }
  bool can_rekey() const override { return true; }
  void RekeyEvery(std::uint64_t records) override { rekey_every_ = records; }
  RecordLayer layer() const override { return RecordLayer::kUser; }
  bool quiet() const override;
  net::AsyncFd& socket() override { return socket_; }
  const net::AsyncFd& socket() const override { return socket_; }

 private:
  // A span of opened application data inside rx_.
  struct Chunk {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
  };
  static constexpr std::size_t kMaxChunks = 16;
  static constexpr std::uint64_t kNeverRekey = ~std::uint64_t{0};

  // Sending (user_record_send.cc).
  absl::StatusOr<std::size_t> FillBatch(absl::Span<std::uint8_t> batch,
                                        absl::Span<const std::uint8_t>& data);
  Awaitable<absl::StatusOr<std::size_t>> MoveBatch(net::AsyncFd& plain);
  absl::StatusOr<std::size_t> ReadBatch(net::AsyncFd& plain, absl::Span<std::uint8_t> batch);
  absl::StatusOr<std::size_t> SealBatch(absl::Span<std::uint8_t> batch, std::size_t bytes);
  absl::Status SealUnsent(std::uint8_t type, absl::Span<const std::uint8_t> message);
  absl::Status SealKeyUpdate();
  Awaitable<absl::Status> RekeyIfDue(MonotonicTime deadline);
  Awaitable<absl::Status> Write(absl::Span<const std::uint8_t> bytes, MonotonicTime deadline);
  Awaitable<absl::Status> WriteUnsent(MonotonicTime deadline);
  void SendAlertNow(std::uint8_t alert);

  // Receiving (user_record_receive.cc).
  absl::StatusOr<std::optional<RecordOpener::Opened>> NextOpened();
  absl::StatusOr<std::optional<RecordOpener::Opened>> OpenOne();
  absl::Status TakeKeyUpdate(Arrival arrival);
  absl::StatusOr<std::optional<Record>> TakeRecord();
  Record Deliver(std::uint8_t type, absl::Span<const std::uint8_t> payload);
  absl::Status Fill();
  Awaitable<absl::Status> FillOrWait(MonotonicTime deadline);
  absl::Status OpenBatch();
  void AddChunk(absl::Span<std::uint8_t> payload);
  Awaitable<absl::Status> WriteChunks(net::AsyncFd& plain, std::uint64_t& moved);
  ssize_t SendChunks(int fd);
  void ConsumeChunks(std::size_t bytes);
  void ReleaseIfEmpty();
  absl::Status FailReceive(absl::Status status);

  net::AsyncFd socket_;
  net::BufferPool& pool_;
  TrafficSecrets secrets_;

  RecordSealer sealer_;
  SendTurn turn_;
  std::vector<std::uint8_t> unsent_;  // sealed while somebody else was writing
  unsigned batches_sent_ = 0;
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
  bool receive_cancelled_ = false;            // since the present ReceiveTo() began
  ArrivalRules rules_{/*rekey=*/true};
  absl::Status receive_status_;  // once set, after what was opened before it
};

}  // namespace tombolo::tls
