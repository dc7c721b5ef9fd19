// SPDX-License-Identifier: Apache-2.0
#include "balance/balancer.h"

#include <chrono>
#include <utility>

#include "balance/chooser.h"

namespace tombolo::balance {
namespace {

// How long tiers by latency hold, in which a round trip may become too old to go by.
constexpr Duration kTiersByLatency = std::chrono::minutes(1);

EndpointView ToView(const Health& health, const Load& load, MonotonicTime now) {
  return {.in_flight = load.in_flight,
          .ejected = health.ejected(),
          .ejected_for = health.EjectedFor(now),
          .warmth = health.Warmth(now),
          .connect_latency = load.latency};
}

}  // namespace

Balancer::Balancer(Place own, std::function<std::uint64_t()> random)
    : own_(std::move(own)), random_(std::move(random)) {}

void Balancer::SetSnapshot(mesh::SnapshotPtr snapshot, MonotonicTime now) {
  plans_.clear();
  older_.reset();
  ways_.Keep(*snapshot);
  for (auto& [name, ports] : memory_) {
    const mesh::Service* service = snapshot->FindService(name);
    absl::erase_if(ports, [&](const auto& port) {
      return service == nullptr || service->FindPort(port.first) == nullptr;
    });
    for (auto& [number, memory] : ports) memory.new_since = now;
  }
  absl::erase_if(memory_, [](const auto& service) { return service.second.empty(); });
  snapshot_ = std::move(snapshot);
}

bool Balancer::IsCurrent(const Plan& plan, MonotonicTime now) const {
  if (!plan.by_latency) return true;
  return plan.round_trips_seen == ways_.changes().round_trips &&
         now - plan.made_at < kTiersByLatency;
}

const Plan& Balancer::PlanOf(const Wanted& wanted, MonotonicTime now) {
  const bool is_older = wanted.snapshot != snapshot_.get();
  std::unique_ptr<Plan>& plan = is_older ? older_ : plans_[wanted.target.port];
  if (plan == nullptr || is_older || !IsCurrent(*plan, now)) {
    Memory& memory = memory_[wanted.target.service->FullName()][wanted.target.port->port];
    Memory copy;  // so that what is not in an older snapshot is not forgotten
    if (is_older) copy.endpoints = memory.endpoints;
    plan = std::make_unique<Plan>(MakePlan(wanted, own_, ways_, is_older ? copy : memory, now));
  } else if (plan->health_seen == ways_.changes().health && now < plan->stands_until) {
    return *plan;
  }
  Refresh(*plan, ways_.changes(), now);
  return *plan;
}

std::optional<Choice> Balancer::Pick(const Wanted& wanted, absl::Span<const Tried> tried,
                                     MonotonicTime now) {
  return Chooser(PlanOf(wanted, now), wanted.client, tried, random_, now).Choose();
}

Attempt Balancer::Begin(const Wanted& wanted, const Choice& choice, MonotonicTime now) {
  const Plan& plan = PlanOf(wanted, now);
  const Member* member = plan.FindMember(choice.endpoint);
  if (member == nullptr) return {};
  std::shared_ptr<Way> way = member->way;
  const auto& gateways = plan.clusters[member->cluster].gateways;
  if (choice.gateway && *choice.gateway < gateways.size()) way = gateways[*choice.gateway];
  if (way == nullptr) return {};
  return {member->state, std::move(way), now};
}

EndpointView Balancer::View(absl::string_view service, std::uint16_t port,
                            const mesh::Endpoint& endpoint, MonotonicTime now) const {
  const auto ports = memory_.find(service);
  if (ports == memory_.end()) return {};
  const auto memory = ports->second.find(port);
  if (memory == ports->second.end()) return {};
  const auto known = memory->second.endpoints.find(EndpointKey(endpoint));
  if (known == memory->second.endpoints.end()) return {};
  return ToView(known->second.state->health, known->second.state->load, now);
}

EndpointView Balancer::ViewWay(absl::string_view cluster, const net::SocketAddress& way,
                               MonotonicTime now) const {
  const Way* known = ways_.Find(cluster, way);
  return known == nullptr ? EndpointView{} : ToView(known->health, known->load, now);
}

ClusterView Balancer::ViewCluster(absl::string_view cluster, MonotonicTime now) const {
  const ClusterState* known = ways_.FindCluster(cluster);
  if (known == nullptr) return {};
  return {.ejected = known->health.ejected(),
          .ejected_for = known->health.EjectedFor(now),
          .round_trip = known->round_trip.smoothed()};
}

std::size_t Balancer::size() const {
  std::size_t count = 0;
  for (const auto& [service, ports] : memory_) {
    for (const auto& [port, memory] : ports) count += memory.endpoints.size();
  }
  return count;
}

}  // namespace tombolo::balance
