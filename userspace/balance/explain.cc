// SPDX-License-Identifier: Apache-2.0
// What a connection would be told, without one.
#include <algorithm>
#include <map>
#include <utility>

#include "balance/balancer.h"
#include "balance/chooser.h"
#include "balance/explanation.h"

namespace tombolo::balance {
namespace {

ClusterStanding StandingOf(const Plan& plan, std::uint32_t cluster, MonotonicTime now) {
  const PlanCluster& of = plan.clusters[cluster];
  ClusterStanding standing{.name = of.name, .weight = of.weight};
  standing.round_trip = of.state->round_trip.smoothed();
  if (const auto until = plan.ClusterEjectedUntil(cluster)) {
    standing.ejected = true;
    standing.ejected_for = std::max(*until - now, Duration::zero());
  }
  return standing;
}

TierStanding StandingOf(const Plan& plan, const Tier& tier, bool draining, MonotonicTime now) {
  TierStanding out{.name = tier.name};
  std::map<std::uint32_t, ClusterStanding> clusters;
  for (std::uint32_t i = 0; i < tier.all_of.size(); ++i) {
    if (tier.all_of[i] == 0) continue;
    ClusterStanding& cluster = clusters[i] = StandingOf(plan, i, now);
    cluster.all = tier.all_of[i];
    cluster.draining = draining;
  }
  for (const Group& group : tier.groups) {
    for (const std::uint32_t id : group.members) {
      const Member& member = plan.members[id];
      ClusterStanding& cluster = clusters[member.cluster];
      cluster.ready += member.ready;
      if (plan.in_use[id]) cluster.in_use += member.ready;
    }
  }
  for (auto& [index, cluster] : clusters) out.clusters.push_back(std::move(cluster));
  return out;
}

}  // namespace

std::vector<TierStanding> Standing(const Plan& plan, MonotonicTime now) {
  std::vector<TierStanding> all;
  for (const TierSet& set : plan.sets) {
    for (std::size_t i = 0; i < set.tiers.size(); ++i) {
      TierStanding tier = StandingOf(plan, set.tiers[i], &set != &plan.sets[0], now);
      if (tier.clusters.empty()) continue;
      tier.tier = i;
      tier.share = &set == plan.from ? set.tiers[i].share : 0;
      all.push_back(std::move(tier));
    }
  }
  return all;
}

Explanation Balancer::Explain(const Wanted& wanted, std::size_t most, MonotonicTime now) {
  // The plan that connections go by. Of a port that none has asked for, one of its own: what is
  // remembered of a port begins with its first connection.
  const bool in_use = wanted.snapshot == snapshot_.get() && plans_.contains(wanted.target.port);
  Plan made;
  if (!in_use) {
    Memory copy = MemoryOf(wanted);
    made = MakePlan(wanted, own_, ways_, copy, now);
    Refresh(made, ways_.changes(), now);
  }
  const Plan& plan = in_use ? PlanOf(wanted, now) : made;
  Explanation explanation{.tiers = Standing(plan, now)};
  explanation.panic = plan.from != nullptr && plan.from->panic;
  // A copy: it draws what the next connection is going to draw, and leaves that to it.
  const std::function<std::uint64_t()> random = random_;
  std::vector<Tried> tried;
  while (tried.size() < most) {
    const auto choice = Chooser(plan, wanted.client, tried, random, now).Choose();
    if (!choice) break;
    explanation.choices.push_back(*choice);
    tried.push_back({*choice, Failure::kWay});
  }
  return explanation;
}

Memory Balancer::MemoryOf(const Wanted& wanted) const {
  const auto ports = memory_.find(wanted.target.service->FullName());
  if (ports == memory_.end()) return {};
  const auto memory = ports->second.find(wanted.target.port->port);
  return memory == ports->second.end() ? Memory() : memory->second;
}

}  // namespace tombolo::balance
