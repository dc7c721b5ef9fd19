// SPDX-License-Identifier: Apache-2.0
// Where another attempt of the same connection goes.
#include <algorithm>
#include <limits>

#include "balance/chooser.h"

namespace tombolo::balance {
namespace {

// An endpoint behind gateways may be several: so often it is tried through one gateway that said
// "unavailable", and may choose another of them.
constexpr std::size_t kSameGateway = 2;
// So many ways of one cluster that have failed for a connection, and it rather goes to another.
constexpr int kWaysOfCluster = 2;

}  // namespace

void Chooser::NoteFailedWays() {
  for (const Tried& before : tried_) {
    if (before.failure != Failure::kWay) continue;
    const Member* member = plan_.FindMember(before.choice.endpoint);
    if (member == nullptr) continue;
    const auto& gateways = plan_.clusters[member->cluster].gateways;
    const Way* way = member->way.get();
    if (before.choice.gateway && *before.choice.gateway < gateways.size()) {
      way = gateways[*before.choice.gateway].get();
    }
    failed_ways_.push_back(way);
    failed_clusters_.push_back(member->cluster);
  }
}

bool Chooser::HasFailed(const Way* way) const {
  return std::find(failed_ways_.begin(), failed_ways_.end(), way) != failed_ways_.end();
}

bool Chooser::IsSuspect(const Member& member) const {
  if (member.way != nullptr && HasFailed(member.way.get())) return true;
  return std::count(failed_clusters_.begin(), failed_clusters_.end(), member.cluster) >=
         kWaysOfCluster;
}

bool Chooser::IsSpent(const Member& member, std::size_t gateway) const {
  std::size_t unavailable = 0;
  for (const Tried& before : tried_) {
    if (before.choice.endpoint != member.index || before.choice.gateway != gateway) continue;
    if (before.only_slow) continue;
    if (before.failure == Failure::kWay) return true;
    ++unavailable;
  }
  return unavailable >= std::min<std::size_t>(member.ready, kSameGateway);
}

bool Chooser::IsSpent(const Member& member) const {
  if (member.way != nullptr) {
    return std::any_of(tried_.begin(), tried_.end(), [&](const Tried& before) {
      return before.choice.endpoint == member.index && !before.only_slow;
    });
  }
  for (std::size_t i = 0; i < plan_.clusters[member.cluster].gateways.size(); ++i) {
    if (!IsSpent(member, i)) return false;
  }
  return true;
}

Chooser::Rank Chooser::RankOf(std::uint32_t id, std::size_t set, std::size_t tier,
                              const Group& group) const {
  const Member& member = MemberOf(id);
  const std::size_t bad = (plan_.Ejected(member) ? 2 : 0) + (IsSuspect(member) ? 1 : 0);
  const bool weighs_nothing = group.cluster && plan_.clusters[*group.cluster].weight == 0;
  return {bad, &plan_.sets[set] == plan_.from ? 0u : 1u, tier, weighs_nothing ? 1u : 0u};
}

// Not by shares: what is best of all that is left. A panic, in which ejections do not count, is for
// the first attempt.
std::optional<Choice> Chooser::Another() {
  NoteFailedWays();
  Rank best;
  best.fill(std::numeric_limits<std::size_t>::max());
  Lot lot;
  Why why;
  for (std::size_t s = 0; s < plan_.sets.size(); ++s) {
    const TierSet& set = plan_.sets[s];
    for (std::size_t t = 0; t < set.tiers.size(); ++t) {
      for (const Group& group : set.tiers[t].groups) {
        for (const std::uint32_t id : group.members) {
          if (IsSpent(MemberOf(id))) continue;
          const Rank rank = RankOf(id, s, t, group);
          if (rank > best) continue;
          if (rank < best) {
            best = rank;
            lot.Clear();
            why = Explain(set, t, rank[0] == 0 ? Why::Reason::kRetry : Why::Reason::kLastLeft);
          }
          lot.Add(id, MemberOf(id).weight);
        }
      }
    }
  }
  if (lot.empty()) return std::nullopt;
  return Through(by_source_ ? Closest(lot, {}) : PowerOfTwo(lot), why);
}

}  // namespace tombolo::balance
