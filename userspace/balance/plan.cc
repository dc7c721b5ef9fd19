// SPDX-License-Identifier: Apache-2.0
#include "balance/plan.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "balance/tiers.h"

namespace tombolo::balance {
namespace {

class Maker {
 public:
  Maker(const Wanted& wanted, const Place& own, Ways& ways, MonotonicTime now);

  Plan Make(Memory& memory);

 private:
  std::uint32_t ClusterOf(const mesh::Endpoint& endpoint);
  void AddCluster(absl::string_view name);
  std::optional<std::size_t> TierOf(const mesh::Endpoint& endpoint, std::uint32_t cluster) const;
  void AddTiers();
  bool OutOfReach(const mesh::Endpoint& endpoint) const;
  void AddEndpoint(std::uint32_t index, std::shared_ptr<EndpointState> state);
  Group& GroupOf(Tier& tier, std::uint32_t cluster);

  const Wanted& wanted_;
  const mesh::ServicePort& port_;
  const mesh::LoadBalancing& balancing_;
  const Place& own_;
  Ways& ways_;
  const MonotonicTime now_;
  absl::string_view zone_;
  absl::string_view region_;
  Plan plan_;
  absl::flat_hash_map<absl::string_view, std::uint32_t> clusters_;
  std::vector<bool> draining_;
  std::vector<std::uint32_t> cluster_of_;  // by endpoint
  Tiers tiers_;
};

Maker::Maker(const Wanted& wanted, const Place& own, Ways& ways, MonotonicTime now)
    : wanted_(wanted),
      port_(*wanted.target.port),
      balancing_(wanted.target.service->balancing),
      own_(own),
      ways_(ways),
      now_(now) {
  const mesh::Node* node = wanted.snapshot->FindNode(own.cluster, own.node);
  if (node != nullptr) zone_ = node->zone;
  const mesh::Cluster* cluster = wanted.snapshot->FindCluster(own.cluster);
  if (cluster != nullptr) region_ = cluster->region;
}

void Maker::AddCluster(absl::string_view name) {
  PlanCluster cluster;
  cluster.name = std::string(name);
  cluster.hash = StableHash(name);
  cluster.state = ways_.Cluster(name);
  const mesh::Cluster* found = wanted_.snapshot->FindCluster(name);
  if (found != nullptr && name != own_.cluster) {
    for (const mesh::Gateway& gateway : found->ways) {
      cluster.gateways.push_back(ways_.ToGateway(name, gateway));
      cluster.gateway_is_near.push_back(!zone_.empty() && gateway.zone == zone_);
    }
  }
  for (const auto& [named, weight] : balancing_.cluster_weights) {
    if (named == name) cluster.weight = weight;
  }
  draining_.push_back(found != nullptr && found->draining);
  plan_.clusters.push_back(std::move(cluster));
}

std::uint32_t Maker::ClusterOf(const mesh::Endpoint& endpoint) {
  const auto next = static_cast<std::uint32_t>(plan_.clusters.size());
  const auto [found, is_new] = clusters_.try_emplace(endpoint.cluster, next);
  if (is_new) AddCluster(endpoint.cluster);
  return found->second;
}

std::optional<std::size_t> Maker::TierOf(const mesh::Endpoint& endpoint,
                                         std::uint32_t cluster) const {
  if (tiers_.own_zone && endpoint.cluster == own_.cluster) {
    const mesh::Node* node = wanted_.snapshot->FindNode(endpoint.cluster, endpoint.node);
    if (node != nullptr && node->zone == zone_) return tiers_.own_zone;
  }
  return tiers_.of_cluster[cluster];
}

Group& Maker::GroupOf(Tier& tier, std::uint32_t cluster) {
  const std::optional<std::uint32_t> of =
      balancing_.cluster_weights.empty() ? std::nullopt : std::optional(cluster);
  for (Group& group : tier.groups) {
    if (group.cluster == of) return group;
  }
  return tier.groups.emplace_back(Group{.cluster = of});
}

bool Maker::OutOfReach(const mesh::Endpoint& endpoint) const {
  const mesh::Cluster* cluster = wanted_.snapshot->FindCluster(endpoint.cluster);
  return endpoint.behind_gateways() && (cluster == nullptr || cluster->ways.empty());
}

void Maker::AddEndpoint(std::uint32_t index, std::shared_ptr<EndpointState> state) {
  const mesh::Endpoint& endpoint = port_.endpoints[index];
  const std::uint32_t cluster = cluster_of_[index];
  const std::optional<std::size_t> tier = TierOf(endpoint, cluster);
  // Out of reach is not the same as not ready: nothing is known of what is there.
  if (!tier || OutOfReach(endpoint)) return;
  Tier& place = plan_.sets[draining_[cluster] ? 1 : 0].tiers[*tier];
  if (place.all_of.size() <= cluster) place.all_of.resize(cluster + 1);
  place.all_of[cluster] += endpoint.members;
  Group& group = GroupOf(place, cluster);
  group.all += endpoint.members;
  if (!endpoint.ready) return;
  Member member{.index = index, .cluster = cluster, .weight = endpoint.weight};
  member.ready = std::max<std::uint32_t>(1, endpoint.ready_members);
  if (balancing_.affinity != mesh::LoadBalancing::Affinity::kNone) {
    const NameAndAddressView key = EndpointKey(endpoint);
    member.hash = StableHash(absl::StrCat(key.first, " ", key.second.ToString()));
  }
  member.state = std::move(state);
  if (!endpoint.behind_gateways()) {
    const mesh::Node* node = wanted_.snapshot->FindNode(endpoint.cluster, endpoint.node);
    if (node == nullptr) return;  // Index() has refused such a snapshot
    member.way = ways_.ToNode(endpoint.cluster, *node);
  }
  plan_.member_of[index] = static_cast<std::uint32_t>(plan_.members.size());
  group.members.push_back(plan_.member_of[index]);
  plan_.members.push_back(std::move(member));
}

void Maker::AddTiers() {
  std::vector<ClusterFacts> facts;
  for (const PlanCluster& cluster : plan_.clusters) {
    const mesh::Cluster* found = wanted_.snapshot->FindCluster(cluster.name);
    const bool near = found != nullptr && !region_.empty() && found->region == region_;
    facts.push_back({.name = cluster.name,
                     .is_own = cluster.name == own_.cluster,
                     .in_own_region = near,
                     .round_trip = cluster.state->round_trip.Settled(now_)});
  }
  tiers_ = MakeTiers(balancing_, facts, !zone_.empty());
  for (TierSet& set : plan_.sets) {
    for (const absl::string_view name : tiers_.names) set.tiers.push_back(Tier{.name = name});
  }
}

Plan Maker::Make(Memory& memory) {
  plan_.service_hash = StableHash(wanted_.target.service->FullName());
  plan_.balancing = &balancing_;
  plan_.made_at = now_;
  plan_.member_of.assign(port_.endpoints.size(), Plan::kNoMember);
  plan_.by_latency =
      balancing_.tiers.empty() && balancing_.order == mesh::LoadBalancing::Order::kLatency;
  plan_.round_trips_seen = ways_.changes().round_trips;
  for (const mesh::Endpoint& endpoint : port_.endpoints) cluster_of_.push_back(ClusterOf(endpoint));
  AddTiers();
  ByNameAndAddress<Memory::Known> kept;
  for (std::uint32_t i = 0; i < port_.endpoints.size(); ++i) {
    const mesh::Endpoint& endpoint = port_.endpoints[i];
    const NameAndAddressView key = EndpointKey(endpoint);
    const auto before = memory.endpoints.find(key);
    Memory::Known known;
    if (before != memory.endpoints.end()) known = before->second;
    if (known.state == nullptr) known.state = std::make_shared<EndpointState>();
    if (endpoint.ready && !known.ready && memory.new_since) {
      known.state->health.StartSlowly(*memory.new_since);
    }
    known.ready = endpoint.ready;
    AddEndpoint(i, known.state);
    kept.try_emplace(NameAndAddress(key), std::move(known));
  }
  memory.endpoints = std::move(kept);
  return std::move(plan_);
}

}  // namespace

NameAndAddressView EndpointKey(const mesh::Endpoint& endpoint) {
  if (endpoint.behind_gateways()) return {endpoint.identity.text(), {}};
  return {endpoint.workload, endpoint.address};
}

Plan MakePlan(const Wanted& wanted, const Place& own, Ways& ways, Memory& memory,
              MonotonicTime now) {
  return Maker(wanted, own, ways, now).Make(memory);
}

const Member* Plan::FindMember(std::size_t endpoint) const {
  if (endpoint >= member_of.size() || member_of[endpoint] == kNoMember) return nullptr;
  return &members[member_of[endpoint]];
}

// By itself, or because all its gateways are, of which any will do.
std::optional<MonotonicTime> Plan::ClusterEjectedUntil(std::uint32_t cluster) const {
  const PlanCluster& of = clusters[cluster];
  std::optional<MonotonicTime> until;
  if (of.state->health.ejected()) until = of.state->health.ejected_until();
  MonotonicTime first = MonotonicTime::max();
  for (const auto& gateway : of.gateways) {
    if (!gateway->health.ejected()) return until;
    first = std::min(first, gateway->health.ejected_until());
  }
  if (of.gateways.empty()) return until;
  return std::max(first, until.value_or(first));
}

bool Plan::Ejected(const Member& member) const {
  return member.state->health.ejected() ||
         (member.way != nullptr && member.way->health.ejected()) ||
         ClusterEjectedUntil(member.cluster).has_value();
}

MonotonicTime Plan::TrialAt(const Member& member) const {
  MonotonicTime at = ClusterEjectedUntil(member.cluster).value_or(MonotonicTime{});
  for (const Health* health :
       {&member.state->health, member.way != nullptr ? &member.way->health : nullptr}) {
    if (health != nullptr && health->ejected()) at = std::max(at, health->ejected_until());
  }
  return at;
}

bool Plan::WantsTrial(const Member& member, MonotonicTime now) const {
  const auto can = [&](const Health& health) {
    return !health.ejected() || health.WantsTrial(now);
  };
  const PlanCluster& cluster = clusters[member.cluster];
  if (!can(member.state->health) || !can(cluster.state->health)) return false;
  if (member.way != nullptr) return can(member.way->health);
  return std::any_of(cluster.gateways.begin(), cluster.gateways.end(),
                     [&](const auto& way) { return can(way->health); });
}

double Plan::Warmth(const Member& member, MonotonicTime now) const {
  double warmth = std::min(member.state->health.Warmth(now),
                           clusters[member.cluster].state->health.Warmth(now));
  if (member.way != nullptr) warmth = std::min(warmth, member.way->health.Warmth(now));
  return warmth;
}

}  // namespace tombolo::balance
