// SPDX-License-Identifier: Apache-2.0
// Through which gateway a connection goes to a cluster that is behind some.
#include <algorithm>
#include <tuple>
#include <utility>

#include "balance/chooser.h"

namespace tombolo::balance {

// Which count as ejected: at most half of them, those whose time is over last.
std::vector<bool> Chooser::GatewaysOut(const PlanCluster& cluster) const {
  std::vector<bool> out(cluster.gateways.size());
  std::vector<std::pair<MonotonicTime, std::size_t>> ejected;
  for (std::size_t i = 0; i < cluster.gateways.size(); ++i) {
    const Health& health = cluster.gateways[i]->health;
    if (health.ejected()) ejected.emplace_back(health.ejected_until(), i);
  }
  std::sort(ejected.rbegin(), ejected.rend());
  for (std::size_t i = 0; i < std::min(ejected.size(), out.size() / 2); ++i) {
    out[ejected[i].second] = true;
  }
  return out;
}

// One that is on trial, if nobody tries it now; else of those that are in use, in the own zone
// first, the less busy one of two.
std::optional<std::size_t> Chooser::GatewayFor(const Member& member) {
  const PlanCluster& cluster = plan_.clusters[member.cluster];
  const std::vector<bool> out = GatewaysOut(cluster);
  using Rank = std::tuple<bool, bool, bool>;  // less is better
  Rank best(true, true, true);
  std::vector<std::size_t> equals;
  for (std::size_t i = 0; i < cluster.gateways.size(); ++i) {
    if (IsSpent(member, i)) continue;
    const Way& way = *cluster.gateways[i];
    const bool has_failed = HasFailed(&way);
    if (!has_failed && way.health.WantsTrial(now_)) return i;
    const Rank rank(has_failed, out[i], !cluster.gateway_is_near[i]);
    if (rank > best) continue;
    if (rank < best) equals.clear();
    best = rank;
    equals.push_back(i);
  }
  if (equals.empty()) return std::nullopt;
  Lot lot;
  for (const std::size_t i : equals) {
    lot.Add(static_cast<std::uint32_t>(i), cluster.gateways[i]->health.Warmth(now_));
  }
  const std::size_t first = lot.Draw(random_());
  const std::size_t second = lot.DrawOther(first, random_());
  const bool change =
      Load::SecondIsBetter(cluster.gateways[lot.item(first)]->load, lot.weight(first),
                           cluster.gateways[lot.item(second)]->load, lot.weight(second), now_);
  return lot.item(change ? second : first);
}

Choice Chooser::Through(std::uint32_t id, Why why) {
  const Member& member = MemberOf(id);
  Choice choice{.endpoint = member.index, .why = why};
  if (member.way == nullptr) choice.gateway = GatewayFor(member);
  return choice;
}

}  // namespace tombolo::balance
