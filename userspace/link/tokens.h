// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

namespace tombolo::link {

// 256 bits: which link it is of, to whoever has issued it, and 192 bits of the kernel's random
// generator. Whoever shows it first may leave a connection behind as a spare; it says nothing of
// who that is.
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

// The one of which a token says that it is; anybody can write any.
LinkId LinkOf(const Token& token);

// The tokens of one link that have been handed out. One thread at a time; times are given.
//
// They are looked up by their SHA-256: how long that takes tells nothing of those that are good.
class Tokens {
 public:
  static constexpr Duration kLifetime = std::chrono::seconds(30);
  // That may still be shown: more than a link may be owed. Beyond them the oldest are forgotten.
  static constexpr std::size_t kMost = 2048;
  // What is over is remembered for that long, so that a refusal can say so, ...
  static constexpr Duration kMemory = std::chrono::seconds(30);
  // ... as far as there is room.
  static constexpr std::size_t kMostOver = 4096;

  explicit Tokens(LinkId link) : link_(link) {}
  Tokens(const Tokens&) = delete;
  Tokens& operator=(const Tokens&) = delete;

  // A fresh one.
  Token Issue(MonotonicTime now);
  // Nothing: it is good, which it is once.
  std::optional<TokenRefusal> Redeem(const Token& token, MonotonicTime now);
  // Those that may still be shown.
  std::size_t Outstanding(MonotonicTime now);
  // All of them.
  void Forget();

 private:
  using Digest = std::array<std::uint8_t, 32>;
  struct Entry {
    Digest digest;
    MonotonicTime at;  // when it expires; or when it was over
  };
  void Expire(MonotonicTime now);
  void Remember(const Digest& digest, TokenRefusal why, MonotonicTime now);

  const LinkId link_;
  // All live equally long, so they expire in the order in which they were issued.
  std::list<Entry> good_;
  absl::flat_hash_map<Digest, std::list<Entry>::iterator> good_by_digest_;
  std::deque<Entry> over_;
  absl::flat_hash_map<Digest, TokenRefusal> over_by_digest_;
};

}  // namespace tombolo::link
