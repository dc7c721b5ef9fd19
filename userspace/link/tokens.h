// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

namespace tombolo::link {

// 256 bits of the kernel's random generator. Whoever shows it first may leave a connection behind
// as a spare; it says nothing of who that is.
using Token = std::array<std::uint8_t, 32>;

// Why a token is not good. Names are label values.
enum class TokenRefusal {
  kUnknown,  // never handed out, forgotten, or of a link that is gone
  kUsed,
  kExpired,
  kVersion,  // what came is of no version that is known here
  kCount,
};
absl::string_view Name(TokenRefusal refusal);

using LinkId = std::uint64_t;

// The tokens that have been handed out. A plain value; times are given.
//
// They are looked up by their SHA-256: how long that takes tells nothing of those that are good.
class Tokens {
 public:
  static constexpr Duration kLifetime = std::chrono::seconds(30);
  // What is over is remembered for that long, so that a refusal can say so, ...
  static constexpr Duration kMemory = std::chrono::seconds(30);
  // ... as far as there is room.
  static constexpr std::size_t kMost = 1 << 16;

  // A fresh one.
  Token Issue(LinkId link, MonotonicTime now);
  // Whose it is. A token is good once.
  std::variant<LinkId, TokenRefusal> Redeem(const Token& token, MonotonicTime now);
  // Those of a link that may still be shown.
  std::uint32_t Outstanding(LinkId link, MonotonicTime now);
  void Forget(LinkId link);

 private:
  using Digest = std::array<std::uint8_t, 32>;
  struct Entry {
    LinkId link = 0;
    MonotonicTime expires;
    bool counted = true;  // in outstanding_
    bool used = false;
  };
  void Expire(MonotonicTime now);
  void Uncount(Entry& entry);

  absl::flat_hash_map<Digest, Entry> entries_;
  std::deque<Digest> order_;   // of entries_, as they were issued
  std::size_t unexpired_ = 0;  // first of order_ that had not expired at the last look
  absl::flat_hash_map<LinkId, std::uint32_t> outstanding_;  // never 0
};

}  // namespace tombolo::link
