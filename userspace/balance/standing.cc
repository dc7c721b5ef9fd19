// SPDX-License-Identifier: Apache-2.0
// What of a plan is in use, and how new connections are shared out over it.
#include <algorithm>
#include <chrono>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "balance/plan.h"

namespace tombolo::balance {
namespace {

// How often shares are worked out again while something starts slowly.
constexpr Duration kStep = std::chrono::milliseconds(100);
// Sums of fractions that should be 1.
constexpr double kAlmostOne = 1 - 1e-9;

class Refresher {
 public:
  Refresher(Plan& plan, MonotonicTime now) : plan_(plan), now_(now) {}
  void Run();

 private:
  template <typename ThingOf>
  void KeepHalf(std::vector<std::uint32_t>& members, ThingOf thing_of);
  std::vector<std::uint32_t> WithoutEjected(std::vector<std::uint32_t> members);
  void Mark(Tier& tier, bool others_are_good);
  void Refresh(TierSet& set);
  std::uint32_t WeightOf(const Group& group) const;
  bool Counts(const Tier& tier, const Group& group) const;
  void Count(Group& group);
  void Count(Tier& tier);
  void Count(TierSet& set);
  // The part that it can take of what would come to it if everything were in use.
  double Ability(double in_use, std::uint64_t all) const;
  double ShareOut(TierSet& set);
  void FindOut(Tier& tier);

  Plan& plan_;
  const MonotonicTime now_;
  std::vector<bool> ejected_;  // by member
  bool anything_cold_ = false;
};

std::vector<std::uint32_t> MembersOf(const Tier& tier) {
  std::vector<std::uint32_t> members;
  for (const Group& group : tier.groups) {
    members.insert(members.end(), group.members.begin(), group.members.end());
  }
  return members;
}

// Drops the members whose thing (cluster, way, endpoint) is ejected, as long as those are at
// most half of the things; beyond that the ones whose time is over first are let back.
template <typename ThingOf>
void Refresher::KeepHalf(std::vector<std::uint32_t>& members, ThingOf thing_of) {
  absl::flat_hash_map<const void*, std::optional<MonotonicTime>> things;
  for (const std::uint32_t member : members) {
    const auto [thing, until] = thing_of(plan_.members[member]);
    if (thing != nullptr) things.try_emplace(thing, until);
  }
  std::vector<std::pair<MonotonicTime, const void*>> ejected;
  for (const auto& [thing, until] : things) {
    if (until) ejected.emplace_back(*until, thing);
  }
  std::sort(ejected.begin(), ejected.end());
  const std::size_t most = things.size() / 2;
  absl::flat_hash_set<const void*> out;
  for (std::size_t i = ejected.size() - std::min(most, ejected.size()); i < ejected.size(); ++i) {
    out.insert(ejected[i].second);
  }
  std::erase_if(members, [&](std::uint32_t member) {
    return out.contains(thing_of(plan_.members[member]).first);
  });
}

std::vector<std::uint32_t> Refresher::WithoutEjected(std::vector<std::uint32_t> members) {
  using Thing = std::pair<const void*, std::optional<MonotonicTime>>;
  const auto until = [](const Health& health) {
    return health.ejected() ? std::optional(health.ejected_until()) : std::nullopt;
  };
  KeepHalf(members, [&](const Member& member) -> Thing {
    return {&plan_.clusters[member.cluster], plan_.ClusterEjectedUntil(member.cluster)};
  });
  KeepHalf(members, [&](const Member& member) -> Thing {
    if (member.way == nullptr) return {nullptr, std::nullopt};
    return {member.way.get(), until(member.way->health)};
  });
  KeepHalf(members, [&](const Member& member) -> Thing {
    return {member.state.get(), until(member.state->health)};
  });
  return members;
}

// At most half of a tier's clusters, of its ways and of its endpoints count as ejected: an outage
// of our own must not look like everybody else's. But a tier of which nothing is left takes
// nothing while another tier has something good.
void Refresher::Mark(Tier& tier, bool others_are_good) {
  const std::vector<std::uint32_t> all = MembersOf(tier);
  const auto is_ejected = [&](std::uint32_t member) -> bool { return ejected_[member]; };
  if (std::none_of(all.begin(), all.end(), is_ejected)) {
    for (const std::uint32_t member : all) plan_.in_use[member] = true;
    return;
  }
  if (others_are_good && std::all_of(all.begin(), all.end(), is_ejected)) return;
  for (const std::uint32_t member : WithoutEjected(all)) plan_.in_use[member] = true;
}

void Refresher::Count(Group& group) {
  group.in_use = 0;
  group.warm = 0;
  group.lot.Clear();
  for (const std::uint32_t id : group.members) {
    if (!plan_.in_use[id]) continue;
    const Member& member = plan_.members[id];
    const double warmth = plan_.Warmth(member, now_);
    anything_cold_ |= warmth < 1;
    group.in_use += member.ready;
    // A tier does not give away what new endpoints cannot take yet, for others of it can; but a
    // cluster that is back gets its share of connections slowly, too.
    group.warm += member.ready * plan_.clusters[member.cluster].state->health.Warmth(now_);
    group.lot.Add(id, member.weight * warmth);
  }
}

double Refresher::Ability(double in_use, std::uint64_t all) const {
  if (in_use <= 0 || all == 0) return 0;
  const double enough = plan_.balancing->overflow_below / 100.0 * static_cast<double>(all);
  return in_use >= enough ? 1 : in_use / enough;
}

std::uint32_t Refresher::WeightOf(const Group& group) const {
  return group.cluster ? plan_.clusters[*group.cluster].weight : 1;
}

// Clusters without weight count only when no other of the tier has anything in use.
bool Refresher::Counts(const Tier& tier, const Group& group) const {
  return WeightOf(group) > 0 ||
         std::none_of(tier.groups.begin(), tier.groups.end(),
                      [&](const Group& other) { return other.in_use > 0 && WeightOf(other) > 0; });
}

void Refresher::Count(Tier& tier) {
  tier.all = tier.in_use = 0;
  tier.lot.Clear();
  double warm = 0;
  for (std::uint32_t i = 0; i < tier.groups.size(); ++i) {
    const Group& group = tier.groups[i];
    if (!Counts(tier, group)) continue;
    tier.all += group.all;
    tier.in_use += group.in_use;
    warm += group.warm;
    if (group.in_use == 0) continue;
    const std::uint32_t weight = std::max<std::uint32_t>(1, WeightOf(group));
    tier.lot.Add(i, weight * Ability(group.warm, group.all));
  }
  tier.share = Ability(warm, tier.all);
}

void Refresher::Count(TierSet& set) {
  set.all = set.in_use = 0;
  for (Tier& tier : set.tiers) {
    for (Group& group : tier.groups) {
      Count(group);
      set.all += group.all;
      set.in_use += group.in_use;
    }
    Count(tier);
  }
}

// What a tier cannot take goes to the next. Returns what all can take together, up to 1; if
// that is less, each gets more in proportion.
double Refresher::ShareOut(TierSet& set) {
  double left = 1;
  for (Tier& tier : set.tiers) {
    tier.share = std::min(left, tier.share);
    left -= tier.share;
  }
  const double taken = 1 - left;
  for (Tier& tier : set.tiers) tier.share = taken > 0 ? tier.share / taken : 0;
  return taken;
}

void Refresher::FindOut(Tier& tier) {
  tier.out.clear();
  tier.trial_at = MonotonicTime::max();
  for (const Group& group : tier.groups) {
    if (!Counts(tier, group)) continue;  // it gets nothing, not even a trial
    for (const std::uint32_t id : group.members) {
      if (plan_.in_use[id]) continue;
      tier.out.push_back(id);
      tier.trial_at = std::min(tier.trial_at, plan_.TrialAt(plan_.members[id]));
    }
  }
}

void Refresher::Refresh(TierSet& set) {
  set.any_ready = set.any_good = false;
  for (const Tier& tier : set.tiers) {
    for (const std::uint32_t member : MembersOf(tier)) {
      set.any_ready = true;
      set.any_good |= !ejected_[member];
    }
  }
  for (Tier& tier : set.tiers) Mark(tier, set.any_good);
  Count(set);
  set.panic =
      ShareOut(set) < kAlmostOne && set.in_use * 100 < plan_.balancing->panic_below * set.all;
  if (set.panic) {
    set.in_use_before_panic = set.in_use;
    for (const Tier& tier : set.tiers) {
      for (const std::uint32_t member : MembersOf(tier)) plan_.in_use[member] = true;
    }
    Count(set);
    ShareOut(set);
  }
  for (Tier& tier : set.tiers) FindOut(tier);
}

void Refresher::Run() {
  plan_.in_use.assign(plan_.members.size(), false);
  ejected_.reserve(plan_.members.size());
  for (const Member& member : plan_.members) ejected_.push_back(plan_.Ejected(member));
  for (TierSet& set : plan_.sets) Refresh(set);
  auto& [others, draining] = plan_.sets;
  plan_.from = nullptr;
  if (others.any_good || (others.any_ready && !draining.any_good)) {
    plan_.from = &others;
  } else if (draining.any_ready) {
    plan_.from = &draining;
    for (Tier& tier : others.tiers) {  // nothing of them works
      for (const std::uint32_t member : MembersOf(tier)) plan_.in_use[member] = false;
      FindOut(tier);
    }
  }
  plan_.stands_until = anything_cold_ ? now_ + kStep : MonotonicTime::max();
}

}  // namespace

void Refresh(Plan& plan, const Changes& changes, MonotonicTime now) {
  Refresher(plan, now).Run();
  plan.health_seen = changes.health;
}

}  // namespace tombolo::balance
