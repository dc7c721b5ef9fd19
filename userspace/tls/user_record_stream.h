// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "net/buffer_pool.h"
#include "tls/record_protection.h"
#include "tls/record_stream.h"
#include "tls/secret.h"

namespace tombolo::tls {

// The present application traffic secrets, kept for rekeying and hand-over.
struct TrafficSecrets {
  Secret send, receive;
};

// What a record stream starts from: a socket after its handshake, with nothing
// read or written past it. Sequences other than 0 test the record budget.
struct RecordKeys {
  RecordSealer sealer;
  RecordOpener opener;
  TrafficSecrets secrets;

  static absl::StatusOr<RecordKeys> Derive(Suite suite, TrafficSecrets secrets,
                                           std::uint64_t send_sequence = 0,
                                           std::uint64_t receive_sequence = 0);
};

// RecordStream that seals and opens records in user space.
//
// Sending: whoever finds nobody writing becomes the writer and writes until
// nothing is left. What others seal meanwhile is appended to `unsent_`, so the
// order of sealing is the order on the wire. A writer that is destroyed in the
// middle leaves the sending side broken.
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
  void CancelReceive() override { socket_.CancelRead(); }
  Usage usage() const override {
    return {.sent = sealer_.sequence(), .received = opener_.sequence()};
  }
  bool quiet() const override;
  net::AsyncFd& socket() override { return socket_; }

 private:
  class Writer;

  // A span of opened application data inside rx_.
  struct Chunk {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
  };
  static constexpr std::size_t kMaxChunks = 16;

  // Between two sockets that are never empty or full a coroutine would not
  // suspend: after so many batches (2 MiB) it lets the thread's others run.
  static constexpr unsigned kBatchesPerTurn = 16;
  Awaitable<void> GiveWay();

  // Sending (user_record_send.cc).
  Awaitable<absl::Status> BecomeWriter(MonotonicTime deadline);
  absl::StatusOr<std::size_t> FillBatch(absl::Span<std::uint8_t> batch,
                                        absl::Span<const std::uint8_t>& data);
  Awaitable<absl::StatusOr<std::size_t>> MoveBatch(net::AsyncFd& plain);
  absl::StatusOr<std::size_t> ReadBatch(net::AsyncFd& plain, absl::Span<std::uint8_t> batch);
  absl::StatusOr<std::size_t> SealBatch(absl::Span<std::uint8_t> batch, std::size_t bytes);
  absl::Status SealUnsent(std::uint8_t type, absl::Span<const std::uint8_t> message);
  Awaitable<absl::Status> Write(absl::Span<const std::uint8_t> bytes, MonotonicTime deadline);
  Awaitable<absl::Status> WriteUnsent(MonotonicTime deadline);
  void SendAlertNow(std::uint8_t alert);

  // Receiving (user_record_receive.cc).
  absl::StatusOr<std::optional<RecordOpener::Opened>> NextOpened();
  absl::StatusOr<std::optional<RecordOpener::Opened>> OpenOne();
  absl::Status OnAlert(absl::Span<const std::uint8_t> payload);
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
  bool writing_ = false;
  absl::Status send_status_;                  // once set, nothing is sent any more
  std::vector<std::uint8_t> unsent_;          // sealed while somebody else was writing
  std::vector<asio::steady_timer*> waiting_;  // cancelled when a writer has finished
  unsigned batches_sent_ = 0;

  RecordOpener opener_;
  net::BufferPool::Lease rx_;
  std::size_t rx_begin_ = 0;
  std::size_t rx_end_ = 0;
  std::array<Chunk, kMaxChunks> chunks_;
  std::size_t chunk_count_ = 0;
  std::optional<RecordOpener::Opened> next_;  // opened behind the chunks
  std::vector<std::uint8_t> delivered_;       // a small record, so that rx_ can go
  int empty_records_ = 0;                     // in a row
  absl::Status receive_status_;               // once set, after what was opened before it
};

}  // namespace tombolo::tls
