// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "loop.h"
#include "net/buffer_pool.h"
#include "record_layer.h"
#include "tls/kernel_record_stream.h"
#include "tls/kernel_tls.h"
#include "tls/key_schedule.h"
#include "tls/record_protection.h"
#include "tls/user_record_stream.h"

namespace tombolo::testing {

using Bytes = std::vector<std::uint8_t>;

// `size` bytes that differ from place to place.
inline Bytes Pattern(std::size_t size) {
  Bytes bytes(size);
  std::uint32_t state = 1;
  for (std::uint8_t& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  return bytes;
}

inline absl::Span<const std::uint8_t> BytesOf(absl::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

inline std::string TextOf(absl::Span<const std::uint8_t> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

inline tls::TrafficSecrets SecretsOf(bool client) {
  return {.suite = tls::Suite::kAes128GcmSha256,
          .send = tls::Secret(Bytes(32, client ? 1 : 2)),
          .receive = tls::Secret(Bytes(32, client ? 2 : 1))};
}

// In the layer under test.
inline std::unique_ptr<tls::RecordStream> NewStream(net::AsyncFd socket, bool client,
                                                    net::BufferPool& pool, std::uint64_t sent = 0) {
  if (!InKernel()) {
    return std::make_unique<tls::UserRecordStream>(
        std::move(socket), *tls::RecordKeys::Derive(SecretsOf(client), sent), pool);
  }
  if (!tls::kernel::AttachUlp(socket.get()).ok()) std::abort();
  return *tls::KernelRecordStream::Create(std::move(socket), SecretsOf(client), pool,
                                          KernelUnderTest(), sent);
}

// What the relay makes of the steps: one batch of `plain`'s bytes, and how many; 0 is the
// end of its stream.
inline Awaitable<absl::StatusOr<std::size_t>> SendFrom(tls::RecordStream& stream,
                                                       net::AsyncFd& plain) {
  using Step = tls::RecordStream::Step;
  for (;;) {
    std::uint64_t moved = 0;
    CO_ASSIGN_OR_RETURN(const Step step, stream.SendFrom(plain, moved));
    if (step == Step::kMoved) co_return moved;
    if (step == Step::kEnd) co_return 0;
    absl::Status waited;
    if (step == Step::kPlainBlocked) {
      waited = co_await plain.WaitReadable();
    } else {
      waited = co_await stream.socket().WaitWritable();
    }
    CO_RETURN_IF_ERROR(waited);
  }
}

// Everything up to the next control record, which it returns.
inline Awaitable<absl::StatusOr<tls::Record>> ReceiveTo(tls::RecordStream& stream,
                                                        net::AsyncFd& plain, std::uint64_t& moved) {
  using Step = tls::RecordStream::Step;
  for (;;) {
    CO_ASSIGN_OR_RETURN(const Step step, stream.ReceiveTo(plain, moved));
    if (step == Step::kControl) co_return stream.TryReceive();
    absl::Status waited;
    if (step == Step::kPlainBlocked) waited = co_await plain.WaitWritable();
    if (step == Step::kPeerBlocked) waited = co_await stream.socket().WaitReadable();
    CO_RETURN_IF_ERROR(waited);
  }
}

// Waits until something, or the end, has arrived at a socket.
inline void AwaitReadable(int fd) {
  pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
  if (poll(&wait, 1, 30'000) != 1) std::abort();  // a hang
}

// A record stream whose other end of TCP is in the test's own hands.
class StreamAndPeer {
 public:
  explicit StreamAndPeer(Loop& loop, std::uint64_t sent = 0, std::pair<Fd, Fd> sockets = TcpPair())
      : peer_(std::move(sockets.second)), keys_(*tls::RecordKeys::Derive(SecretsOf(false))) {
    stream_ = NewStream(loop.Adopt(std::move(sockets.first)), /*client=*/true, pool_, sent);
  }

  tls::RecordStream& stream() { return *stream_; }
  net::BufferPool& pool() { return pool_; }
  int peer_fd() const { return peer_.get(); }
  void ClosePeer() { peer_.Close(); }

  // One record as the peer seals it.
  Bytes Sealed(std::uint8_t type, absl::Span<const std::uint8_t> plaintext) {
    Bytes slot(plaintext.size() + tls::kRecordOverhead);
    std::copy(plaintext.begin(), plaintext.end(), slot.begin() + tls::kHeaderSize);
    if (!keys_.sealer.Seal(type, absl::MakeSpan(slot), plaintext.size()).ok()) std::abort();
    return slot;
  }

  void PeerWrites(absl::Span<const std::uint8_t> bytes) {
    if (send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size())) {
      std::abort();
    }
  }
  void PeerSends(std::uint8_t type, absl::Span<const std::uint8_t> plaintext) {
    PeerWrites(Sealed(type, plaintext));
  }

  using Records = std::vector<std::pair<int, std::string>>;  // type, payload

  // At most `limit` bytes of what has arrived, and the whole records in them; false at
  // the end of TCP.
  bool PeerReadsPart(std::size_t limit, Records& records) {
    Bytes part(limit);
    const ssize_t got = recv(peer_.get(), part.data(), part.size(), 0);
    if (got > 0) Take(absl::MakeSpan(part).first(static_cast<std::size_t>(got)), records);
    return got != 0;
  }

  // The whole records that have arrived at the peer; waits until there are `least`
  // of them, because what is sent over loopback need not be there at once.
  Records PeerReads(std::size_t least = 0) {
    Records records;
    do {
      if (least > 0) AwaitReadable(peer_.get());
      ReadRecords(records);
    } while (records.size() < least);
    return records;
  }

 private:
  void ReadRecords(Records& records) {
    Bytes part(64 * 1024);
    for (ssize_t got; (got = recv(peer_.get(), part.data(), part.size(), 0)) > 0;) {
      Take(absl::MakeSpan(part).first(static_cast<std::size_t>(got)), records);
    }
  }

  void Take(absl::Span<const std::uint8_t> part, Records& records) {
    received_.insert(received_.end(), part.begin(), part.end());
    while (received_.size() >= tls::kHeaderSize) {
      const std::size_t size = *tls::RecordSize(received_);
      if (received_.size() < size) break;
      const auto opened = keys_.opener.Open(absl::MakeSpan(received_).first(size));
      if (!opened.ok()) std::abort();
      records.emplace_back(opened->type, TextOf(opened->payload));
      received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(size));
    }
  }

  net::BufferPool pool_;
  Fd peer_;
  tls::RecordKeys keys_;
  Bytes received_;
  std::unique_ptr<tls::RecordStream> stream_;
};

// Two record streams that talk to each other.
struct StreamPair {
  explicit StreamPair(Loop& loop) {
    auto [a, b] = TcpPair();
    client = NewStream(loop.Adopt(std::move(a)), /*client=*/true, pool);
    server = NewStream(loop.Adopt(std::move(b)), /*client=*/false, pool);
  }
  net::BufferPool pool;
  std::unique_ptr<tls::RecordStream> client, server;
};

}  // namespace tombolo::testing
