// SPDX-License-Identifier: Apache-2.0
#include "link/stock.h"

#include <poll.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "link/messages.h"

namespace tombolo::link {
namespace {

// Between two looks at all spares of a link.
constexpr Duration kTidyEvery = std::chrono::seconds(1);

// Whoever has left it behind is still there and has said nothing, as far as can be known here.
bool IsAlive(const Spare& spare) {
  pollfd state{.fd = spare.socket.get(), .events = POLLIN | POLLRDHUP, .revents = 0};
  return poll(&state, 1, /*timeout=*/0) == 0;
}

std::size_t YoungOnes(const std::deque<Spare>& spares, MonotonicTime now) {
  const auto first = std::ranges::find_if(
      spares, [&](const Spare& spare) { return now - spare.since < Stock::kMaxAge; });
  return static_cast<std::size_t>(spares.end() - first);
}

}  // namespace

std::unique_ptr<Stock::Membership> Stock::Add(Owner owner, MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  const Name name{owner.cluster, owner.gateway};
  const auto [at, is_new] = links_.try_emplace(name, last_number_ + 1, owner.most_spares);
  if (is_new) links_by_id_[++last_number_] = at;
  Link& link = at->second;
  if (!is_new) {
    link.owner.replaced();
    if (!owner.renews) {
      link.spares.clear();
      link.tokens.Forget();
    }
  }
  link.refill.SetMost(owner.most_spares);
  link.number = ++last_number_;
  link.since = now;
  link.owner = std::move(owner);
  return std::make_unique<Membership>(*this, link.id, link.number);
}

void Stock::Remove(LinkId id, std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto link = FindLink(id);
  if (link == links_.end() || link->second.number != number) return;
  const std::string cluster = link->first.first;
  links_.erase(link);
  links_by_id_.erase(id);
  if (HasLink(cluster)) return;
  const auto waiting = waiting_.find(cluster);
  if (waiting == waiting_.end()) return;
  for (Wish* wish : waiting->second) {
    wish->waiting_.reset();
    wish->ready_();
  }
  waiting_.erase(waiting);
}

bool Stock::HasLink(const std::string& cluster) const {
  const auto first = links_.lower_bound({cluster, ""});
  return first != links_.end() && first->first.first == cluster;
}

std::map<Stock::Name, Stock::Link>::iterator Stock::FindLink(LinkId id) {
  const auto found = links_by_id_.find(id);
  return found == links_by_id_.end() ? links_.end() : found->second;
}

std::size_t Stock::WaitingFor(const std::string& cluster) const {
  const auto waiting = waiting_.find(cluster);
  return waiting == waiting_.end() ? 0 : waiting->second.size();
}

std::vector<Token> Stock::HandOut(LinkId id, std::uint64_t number, MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  const auto found = FindLink(id);
  if (found == links_.end() || found->second.number != number) return {};
  Link& link = found->second;
  const std::uint32_t keep = link.refill.Wanted(now);
  Tidy(link, keep, now);
  const std::size_t wanted =
      std::min<std::size_t>(keep + WaitingFor(found->first.first), 2 * link.refill.most());
  const std::size_t coming = YoungOnes(link.spares, now) + link.tokens.Outstanding(now);
  std::vector<Token> tokens;
  while (coming + tokens.size() < wanted && tokens.size() < kMaxTokens) {
    tokens.push_back(link.tokens.Issue(now));
  }
  return tokens;
}

// Drops what has died, and what is old once there is enough that is not.
void Stock::Tidy(Link& link, std::size_t wanted, MonotonicTime now) {
  if (now - link.tidied < kTidyEvery) return;
  link.tidied = now;
  std::erase_if(link.spares, [](const Spare& spare) { return !IsAlive(spare); });
  const bool enough = YoungOnes(link.spares, now) >= wanted;
  while (!link.spares.empty() &&
         now - link.spares.front().since >= (enough ? kMaxAge : kMaxAge + kGrace)) {
    link.spares.pop_front();
  }
}

std::optional<TokenRefusal> Stock::Redeem(const Token& token, Spare spare, MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  // Tokens go with their link.
  const auto found = FindLink(LinkOf(token));
  const std::optional<TokenRefusal> refusal =
      found == links_.end() ? TokenRefusal::kUnknown : found->second.tokens.Redeem(token, now);
  if (refusal) {
    ++counts_.refused[static_cast<std::size_t>(*refusal)];
    return refusal;
  }
  auto& [name, link] = *found;
  ++counts_.redeemed;
  spare.since = now;
  link.spares.push_back(std::move(spare));
  const auto waiting = waiting_.find(name.first);
  if (waiting == waiting_.end()) return std::nullopt;
  std::optional<Taken> taken = TakeFrom(link, name, now);
  if (!taken) return std::nullopt;
  Wish& first = *waiting->second.front();
  waiting->second.pop_front();
  if (waiting->second.empty()) waiting_.erase(waiting);
  first.waiting_.reset();
  first.taken_ = std::move(taken);
  first.ready_();
  return std::nullopt;
}

void Stock::CountRefused(TokenRefusal refusal) {
  const std::lock_guard lock(mutex_);
  ++counts_.refused[static_cast<std::size_t>(refusal)];
}

std::optional<Stock::Taken> Stock::TakeFrom(Link& link, const Name& name, MonotonicTime now) {
  while (!link.spares.empty()) {
    Spare newest = std::move(link.spares.back());
    link.spares.pop_back();
    if (!IsAlive(newest)) continue;
    link.refill.Took(now);
    link.last_turn = ++last_turn_;
    ++link.taken;
    ++counts_.taken;
    link.owner.refill();
    return Taken{std::move(newest), name.first, name.second};
  }
  return std::nullopt;
}

std::optional<Stock::Taken> Stock::TakeOf(const std::string& cluster, MonotonicTime now) {
  for (;;) {
    auto next = links_.end();
    for (auto at = links_.lower_bound({cluster, ""});
         at != links_.end() && at->first.first == cluster; ++at) {
      if (at->second.spares.empty()) continue;
      if (next == links_.end() || at->second.last_turn < next->second.last_turn) next = at;
    }
    if (next == links_.end()) return std::nullopt;
    std::optional<Taken> taken = TakeFrom(next->second, next->first, now);
    if (taken) return taken;
  }
}

absl::StatusOr<std::unique_ptr<Stock::Wish>> Stock::Want(const std::string& cluster,
                                                         std::function<void()> ready,
                                                         MonotonicTime now) {
  auto wish = std::make_unique<Wish>(*this, cluster, std::move(ready));
  const std::lock_guard lock(mutex_);
  if (!HasLink(cluster)) {
    return absl::NotFoundError(absl::StrCat("cluster '", cluster, "' has no link to this gateway"));
  }
  wish->taken_ = TakeOf(cluster, now);
  if (wish->taken_) return wish;
  std::list<Wish*>& waiting = waiting_[cluster];
  if (waiting.size() >= kMostWaiting) {
    return absl::ResourceExhaustedError(
        absl::StrCat(waiting.size(), " tunnels wait for a spare of cluster '", cluster, "'"));
  }
  wish->waiting_ = waiting.insert(waiting.end(), wish.get());
  for (auto at = links_.lower_bound({cluster, ""});
       at != links_.end() && at->first.first == cluster; ++at) {
    at->second.owner.refill();
  }
  return wish;
}

void Stock::GiveUp(Wish& wish) {
  const std::lock_guard lock(mutex_);
  if (!wish.waiting_) return;
  const auto waiting = waiting_.find(wish.cluster_);
  waiting->second.erase(*wish.waiting_);
  if (waiting->second.empty()) waiting_.erase(waiting);
}

bool Stock::Wish::Waits() {
  const std::lock_guard lock(stock_.mutex_);
  return waiting_.has_value();
}

std::optional<Stock::Taken> Stock::Wish::Take() {
  const std::lock_guard lock(stock_.mutex_);
  return std::exchange(taken_, std::nullopt);
}

std::vector<Stock::LinkView> Stock::View(MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  std::vector<LinkView> views;
  for (auto& [name, link] : links_) {
    views.push_back({.cluster = name.first,
                     .gateway = name.second,
                     .since = link.since,
                     .heard_at = link.owner.heard_at,
                     .spares = link.spares.size(),
                     .tokens = link.tokens.Outstanding(now),
                     .wanted = link.refill.Wanted(now),
                     .taken = link.taken});
  }
  return views;
}

Stock::Counts Stock::counts() {
  const std::lock_guard lock(mutex_);
  Counts counts = counts_;
  for (const auto& [cluster, waiting] : waiting_) counts.waiting += waiting.size();
  return counts;
}

}  // namespace tombolo::link
