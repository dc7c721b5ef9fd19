// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tls/key_schedule.h"

struct evp_cipher_ctx_st;

// TLS 1.3 record protection (RFC 8446, section 5) without any input or output.
//
//   | header 5 | plaintext n | type 1 | tag 16 |
//
// A record is sealed and opened in place in such a slot.
namespace tombolo::tls {

inline constexpr std::size_t kHeaderSize = 5;
inline constexpr std::size_t kTagSize = 16;
inline constexpr std::size_t kRecordOverhead = kHeaderSize + 1 + kTagSize;
inline constexpr std::size_t kMaxPlaintext = 1 << 14;
inline constexpr std::size_t kMaxCiphertext = kMaxPlaintext + 256;
inline constexpr std::size_t kMaxRecord = kHeaderSize + kMaxCiphertext;

// RFC 8446, section 5.5: AES-GCM keeps its margin up to 2^24.5 full records
// under one key. Application data ends at 2^24; what says so may follow: a few
// control records, and after those an alert.
inline constexpr std::uint64_t kRecordBudget = 1 << 24;
// Where the peer can receive a KeyUpdate the key is changed long before.
inline constexpr std::uint64_t kRekeyAfter = 1 << 22;
inline constexpr std::uint64_t kControlReserve = 64;
inline constexpr std::uint64_t kAlertReserve = 16;

// The alert that tells the peer what was wrong with its record, 0 when the
// Status carries none.
std::uint8_t AlertOf(const absl::Status& status);
absl::Status WithAlert(absl::Status status, std::uint8_t alert);

// The size of a whole record from its header. InvalidArgument when it is longer
// than section 5.2 allows or not of the type that protected records have.
absl::StatusOr<std::size_t> RecordSize(absl::Span<const std::uint8_t> header);

// One direction's key and sequence number. Lives on one thread.
//
// OpenSSL's state for a key is about a kilobyte, so that an idle connection would mostly
// consist of it: a thread keeps that of the keys it has used last, and makes the rest
// again (about a microsecond).
class RecordCipher {
 public:
  std::uint64_t sequence() const { return sequence_; }

 protected:
  enum class Direction : int { kOpen = 0, kSeal = 1 };

  RecordCipher(const TrafficKey& key, Direction direction, std::uint64_t sequence)
      : key_(key), direction_(direction), sequence_(sequence) {}
  RecordCipher(RecordCipher&& other) noexcept;
  RecordCipher& operator=(RecordCipher&& other) noexcept;
  ~RecordCipher() { Forget(); }

  // Ready for one record of the present sequence number; null: OpenSSL failed. Good until
  // another cipher of this thread is used.
  evp_cipher_ctx_st* Context();
  std::array<std::uint8_t, TrafficKey::kIvSize> Nonce() const;

  TrafficKey key_;
  Direction direction_;
  std::uint64_t sequence_;

 private:
  void Forget();

  std::uint32_t place_ = 0;   // in the thread's contexts
  std::uint64_t ticket_ = 0;  // whether what is there is still ours; 0: it never was
};

class RecordSealer : public RecordCipher {
 public:
  // `sequence` other than 0 takes a connection over, or tests the budget.
  static absl::StatusOr<RecordSealer> Create(const TrafficKey& key, std::uint64_t sequence = 0);

  // Seals slot[kHeaderSize, kHeaderSize + size) and returns the record's size,
  // size + kRecordOverhead, which must fit into `slot`. ResourceExhausted when
  // the key's budget is used up: nothing may be sealed with it any more.
  absl::StatusOr<std::size_t> Seal(std::uint8_t type, absl::Span<std::uint8_t> slot,
                                   std::size_t size);

  // Records of application data that may still be sealed.
  std::uint64_t remaining() const {
    return sequence_ < kRecordBudget ? kRecordBudget - sequence_ : 0;
  }

 private:
  using RecordCipher::RecordCipher;
};

class RecordOpener : public RecordCipher {
 public:
  struct Opened {
    std::uint8_t type = 0;
    absl::Span<std::uint8_t> payload;  // inside the record that was opened
  };

  static absl::StatusOr<RecordOpener> Create(const TrafficKey& key, std::uint64_t sequence = 0);

  // Opens one whole record in place. Any error is fatal for the connection;
  // AlertOf() says which alert it calls for.
  absl::StatusOr<Opened> Open(absl::Span<std::uint8_t> record);

 private:
  using RecordCipher::RecordCipher;
};

}  // namespace tombolo::tls
