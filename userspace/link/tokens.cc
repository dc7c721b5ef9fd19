// SPDX-License-Identifier: Apache-2.0
#include "link/tokens.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

#include "tls/digest.h"

namespace tombolo::link {
namespace {

std::array<std::uint8_t, 32> DigestOf(const Token& token) {
  return tls::Sha256({reinterpret_cast<const char*>(token.data()), token.size()});
}

Token RandomToken() {
  Token token;
  ssize_t got;
  do {
    got = getrandom(token.data(), token.size(), 0);
  } while (got < 0 && errno == EINTR);
  // Up to 256 bytes come as a whole. A token that could be guessed is worse than no process.
  if (got != static_cast<ssize_t>(token.size())) std::abort();
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

Token Tokens::Issue(LinkId link, MonotonicTime now) {
  Expire(now);
  const Token token = RandomToken();
  const Digest digest = DigestOf(token);
  entries_[digest] = {.link = link, .expires = now + kLifetime};
  order_.push_back(digest);
  ++outstanding_[link];
  return token;
}

std::variant<LinkId, TokenRefusal> Tokens::Redeem(const Token& token, MonotonicTime now) {
  Expire(now);
  const auto found = entries_.find(DigestOf(token));
  if (found == entries_.end()) return TokenRefusal::kUnknown;
  Entry& entry = found->second;
  if (entry.used) return TokenRefusal::kUsed;
  if (entry.expires <= now) return TokenRefusal::kExpired;
  entry.used = true;
  Uncount(entry);
  return entry.link;
}

std::uint32_t Tokens::Outstanding(LinkId link, MonotonicTime now) {
  Expire(now);
  const auto found = outstanding_.find(link);
  return found == outstanding_.end() ? 0 : found->second;
}

void Tokens::Forget(LinkId link) {
  std::deque<Digest> kept;
  std::size_t unexpired = 0;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const auto entry = entries_.find(order_[i]);
    if (entry->second.link == link) {
      entries_.erase(entry);
      continue;
    }
    if (i < unexpired_) ++unexpired;
    kept.push_back(order_[i]);
  }
  order_ = std::move(kept);
  unexpired_ = unexpired;
  outstanding_.erase(link);
}

// All live equally long, so they end in the order in which they have begun.
void Tokens::Expire(MonotonicTime now) {
  while (!order_.empty()) {
    const auto oldest = entries_.find(order_.front());
    const bool over = oldest->second.expires + kMemory <= now || order_.size() >= kMost;
    if (!over) break;
    Uncount(oldest->second);
    entries_.erase(oldest);
    order_.pop_front();
    if (unexpired_ > 0) --unexpired_;
  }
  for (; unexpired_ < order_.size(); ++unexpired_) {
    Entry& entry = entries_.find(order_[unexpired_])->second;
    if (entry.expires > now) break;
    Uncount(entry);
  }
}

void Tokens::Uncount(Entry& entry) {
  if (!entry.counted) return;
  entry.counted = false;
  const auto count = outstanding_.find(entry.link);
  if (--count->second == 0) outstanding_.erase(count);
}

}  // namespace tombolo::link
