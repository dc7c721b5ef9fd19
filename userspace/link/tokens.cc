// SPDX-License-Identifier: Apache-2.0
#include "link/tokens.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>
#include <iterator>

#include <boost/endian/conversion.hpp>

#include "tls/digest.h"

namespace tombolo::link {
namespace {

std::array<std::uint8_t, 32> DigestOf(const Token& token) {
  return tls::Sha256({reinterpret_cast<const char*>(token.data()), token.size()});
}

// The random part comes behind the link.
Token RandomToken(LinkId link) {
  Token token;
  boost::endian::store_big_u64(token.data(), link);
  ssize_t got;
  do {
    got = getrandom(token.data() + sizeof(link), token.size() - sizeof(link), 0);
  } while (got < 0 && errno == EINTR);
  // Up to 256 bytes come as a whole. A token that could be guessed is worse than no process.
  if (got != static_cast<ssize_t>(token.size() - sizeof(link))) std::abort();
  return token;
}

}  // namespace

absl::string_view Name(TokenRefusal refusal) {
  switch (refusal) {
    case TokenRefusal::kUnknown:
      return "unknown";
    case TokenRefusal::kUsed:
      return "used";
    case TokenRefusal::kExpired:
      return "expired";
    case TokenRefusal::kVersion:
      return "version";
    case TokenRefusal::kCount:
      break;
  }
  return "unknown";
}

LinkId LinkOf(const Token& token) { return boost::endian::load_big_u64(token.data()); }

Token Tokens::Issue(MonotonicTime now) {
  Expire(now);
  if (good_.size() >= kMost) {
    good_by_digest_.erase(good_.front().digest);
    good_.pop_front();
  }
  const Token token = RandomToken(link_);
  const Digest digest = DigestOf(token);
  good_.push_back({digest, now + kLifetime});
  good_by_digest_[digest] = std::prev(good_.end());
  return token;
}

std::optional<TokenRefusal> Tokens::Redeem(const Token& token, MonotonicTime now) {
  Expire(now);
  const Digest digest = DigestOf(token);
  const auto good = good_by_digest_.find(digest);
  if (good != good_by_digest_.end()) {
    good_.erase(good->second);
    good_by_digest_.erase(good);
    Remember(digest, TokenRefusal::kUsed, now);
    return std::nullopt;
  }
  const auto over = over_by_digest_.find(digest);
  return over == over_by_digest_.end() ? TokenRefusal::kUnknown : over->second;
}

std::size_t Tokens::Outstanding(MonotonicTime now) {
  Expire(now);
  return good_.size();
}

void Tokens::Forget() {
  good_by_digest_.clear();
  good_.clear();
  over_by_digest_.clear();
  over_.clear();
}

void Tokens::Expire(MonotonicTime now) {
  while (!good_.empty() && good_.front().at <= now) {
    Remember(good_.front().digest, TokenRefusal::kExpired, now);
    good_by_digest_.erase(good_.front().digest);
    good_.pop_front();
  }
  while (!over_.empty() && (over_.front().at + kMemory <= now || over_.size() > kMostOver)) {
    over_by_digest_.erase(over_.front().digest);
    over_.pop_front();
  }
}

void Tokens::Remember(const Digest& digest, TokenRefusal why, MonotonicTime now) {
  over_.push_back({digest, now});
  over_by_digest_[digest] = why;
}

}  // namespace tombolo::link
