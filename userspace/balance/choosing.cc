// SPDX-License-Identifier: Apache-2.0
// Where a connection's first attempt goes.
#include <algorithm>
#include <limits>

#include "balance/chooser.h"

namespace tombolo::balance {
namespace {

std::uint8_t Percent(double part) { return static_cast<std::uint8_t>(part * 100 + 0.5); }

double Part(std::uint64_t some, std::uint64_t all) {
  return all == 0 ? 0 : static_cast<double>(some) / static_cast<double>(all);
}

}  // namespace

Chooser::Chooser(const Plan& plan, const net::IpAddress& client, absl::Span<const Tried> tried,
                 const std::function<std::uint64_t()>& random, MonotonicTime now)
    : plan_(plan),
      tried_(tried),
      random_(random),
      now_(now),
      by_source_(plan.balancing->affinity == mesh::LoadBalancing::Affinity::kSource) {
  if (!by_source_) return;
  const auto& bytes = client.bytes();
  const absl::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  key_ = Mix(StableHash(text), plan.service_hash);
}

// By the source, so that it stays in its tier while shares stand; or at random.
std::size_t Chooser::DrawTier() {
  double at = Unit(by_source_ ? Mix(key_, 0) : random_());
  std::size_t last = 0;
  for (std::size_t i = 0; i < plan_.from->tiers.size(); ++i) {
    const double share = plan_.from->tiers[i].share;
    if (share <= 0) continue;
    if (at < share) return i;
    at -= share;
    last = i;
  }
  return last;
}

// One at a time for each, so that what was ejected comes back by a few connections, not by the
// herd.
std::optional<std::uint32_t> Chooser::Trial(const Tier& tier) const {
  if (tier.out.empty() || now_ < tier.trial_at) return std::nullopt;
  const auto found = std::find_if(tier.out.begin(), tier.out.end(), [&](std::uint32_t id) {
    return plan_.WantsTrial(MemberOf(id), now_);
  });
  return found == tier.out.end() ? std::nullopt : std::optional(*found);
}

// A tier that takes nothing because all of it is ejected comes back this way, too, and what is
// not draining and left the connections to what is.
std::optional<Choice> Chooser::TrialUpTo(std::size_t drawn) {
  for (const TierSet& set : plan_.sets) {
    const bool is_used = &set == plan_.from;
    for (std::size_t i = 0; i < (is_used ? drawn + 1 : set.tiers.size()); ++i) {
      // Where sources have their endpoints, each tries its own: Draw().
      if (by_source_ && is_used && set.tiers[i].share > 0) continue;
      const std::optional<std::uint32_t> trial = Trial(set.tiers[i]);
      if (trial) return Through(*trial, Explain(set, i, Why::Reason::kTrial));
    }
    if (is_used) return std::nullopt;
  }
  return std::nullopt;
}

std::uint32_t Chooser::PowerOfTwo(const Lot& lot) {
  const std::size_t first = lot.Draw(random_());
  if (lot.size() == 1) return lot.item(first);
  const std::size_t second = lot.DrawOther(first, random_());
  const bool change =
      Load::SecondIsBetter(MemberOf(lot.item(first)).state->load, lot.weight(first),
                           MemberOf(lot.item(second)).state->load, lot.weight(second), now_);
  return lot.item(change ? second : first);
}

// Of those that are in use, and of `also`.
std::uint32_t Chooser::Closest(const Lot& lot, const std::vector<std::uint32_t>& also) const {
  std::uint32_t best = lot.item(0);
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](std::uint32_t id, double weight) {
    const double distance = Distance(MemberOf(id).hash, key_, weight);
    if (distance >= least) return;
    least = distance;
    best = id;
  };
  for (std::size_t i = 0; i < lot.size(); ++i) consider(lot.item(i), lot.weight(i));
  for (const std::uint32_t id : also) consider(id, MemberOf(id).weight);
  return best;
}

const Group& Chooser::GroupOfSource(const Tier& tier) const {
  std::uint32_t closest = tier.lot.item(0);
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < tier.lot.size(); ++i) {
    const Group& group = tier.groups[tier.lot.item(i)];
    const std::uint64_t hash = group.cluster ? plan_.clusters[*group.cluster].hash : 0;
    const double distance = Distance(hash, Mix(key_, 1), tier.lot.weight(i));
    if (distance >= least) continue;
    least = distance;
    closest = tier.lot.item(i);
  }
  return tier.groups[closest];
}

std::uint32_t Chooser::Draw(const Tier& tier) {
  if (!by_source_) return PowerOfTwo(tier.groups[tier.lot.item(tier.lot.Draw(random_()))].lot);
  const Group& group = GroupOfSource(tier);
  // Each is for the sources that are its own; of a cluster that has no sources now, for any.
  const auto may_try = [&](const Member& member) {
    if (!group.cluster || *group.cluster == member.cluster) return true;
    return std::any_of(tier.groups.begin(), tier.groups.end(), [&](const Group& other) {
      return *other.cluster == member.cluster && other.in_use == 0;
    });
  };
  std::vector<std::uint32_t> trials;
  if (now_ >= tier.trial_at) {
    for (const std::uint32_t id : tier.out) {
      if (may_try(MemberOf(id)) && plan_.WantsTrial(MemberOf(id), now_)) trials.push_back(id);
    }
  }
  return Closest(group.lot, trials);
}

Why Chooser::Explain(const TierSet& set, std::size_t tier, Why::Reason reason) const {
  Why why{.reason = reason,
          .by_source = by_source_,
          .tier = static_cast<std::uint8_t>(tier),
          .share = Percent(set.tiers[tier].share),
          .tier_name = set.tiers[tier].name};
  if (reason != Why::Reason::kPreferred) return why;
  if (set.panic) {
    why.reason = Why::Reason::kPanic;
    why.in_use = Percent(Part(set.in_use_before_panic, set.all));
    return why;
  }
  std::uint64_t all = 0;
  std::uint64_t in_use = 0;
  for (std::size_t i = 0; i < tier; ++i) {
    all += set.tiers[i].all;
    in_use += set.tiers[i].in_use;
  }
  if (all == 0) return why;
  why.reason = Why::Reason::kOverflow;
  why.in_use = Percent(Part(in_use, all));
  return why;
}

std::optional<Choice> Chooser::First() {
  if (plan_.from == nullptr) return std::nullopt;
  const TierSet& set = *plan_.from;
  const std::size_t drawn = DrawTier();
  if (const std::optional<Choice> trial = TrialUpTo(drawn)) return trial;
  const std::uint32_t id = Draw(set.tiers[drawn]);
  const auto reason = plan_.in_use[id] ? Why::Reason::kPreferred : Why::Reason::kTrial;
  return Through(id, Explain(set, drawn, reason));
}

}  // namespace tombolo::balance
