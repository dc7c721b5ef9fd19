// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "balance/choice.h"
#include "balance/draw.h"
#include "balance/health.h"
#include "balance/keys.h"
#include "balance/load.h"
#include "balance/ways.h"
#include "base/time.h"
#include "mesh/load_balancing.h"
#include "mesh/snapshot.h"

// One service port, sorted for choosing. What is chosen from does not change with every
// connection: it is worked out when something was ejected or is back, and a choice costs
// little more than a draw.
namespace tombolo::balance {

// What is known of one endpoint. Outlives plans.
struct EndpointState {
  Health health;
  Load load;
};

// Behind gateways it is the identity, which names its cluster.
NameAndAddressView EndpointKey(const mesh::Endpoint& endpoint);

// Of one cluster, with endpoints of the port.
struct PlanCluster {
  std::string name;
  std::uint64_t hash = 0;
  std::shared_ptr<ClusterState> state;
  std::vector<std::shared_ptr<Way>> gateways;  // as in the snapshot
  std::vector<bool> gateway_is_near;           // in the own zone
  std::uint32_t weight = 1;
};

// An endpoint that is ready.
struct Member {
  std::uint32_t index = 0;    // of ServicePort::endpoints
  std::uint32_t cluster = 0;  // of Plan::clusters
  std::uint32_t weight = 1;
  std::uint32_t ready = 1;  // ip:ports
  std::uint64_t hash = 0;   // only with affinity
  std::shared_ptr<EndpointState> state{};
  std::shared_ptr<Way> way{};  // null: behind gateways
};

// What of a tier is drawn from as a whole: all of it, or what one cluster has in it.
struct Group {
  std::optional<std::uint32_t> cluster{};  // none: all
  std::vector<std::uint32_t> members{};    // of Plan::members
  std::uint64_t all = 0;                   // ip:ports, ready or not

  // As it stands now.
  std::uint64_t in_use = 0;  // ip:ports
  double warm = 0;           // the same, those that start slowly counted in part
  Lot lot{};                 // of what is in use
};

struct Tier {
  absl::string_view name;
  std::vector<Group> groups{};
  // ip:ports, ready or not, by Plan::clusters; what is beyond its end has none here. For people.
  std::vector<std::uint64_t> all_of{};

  // As it stands now.
  std::uint64_t all = 0;             // ip:ports that count
  std::uint64_t in_use = 0;          // of them
  double share = 0;                  // of new connections; all tiers' are 1 together
  Lot lot{};                         // of its groups
  std::vector<std::uint32_t> out{};  // its ejected members
  MonotonicTime trial_at{};          // when the first of them may be tried
};

// All that is not of draining clusters; or all that is.
struct TierSet {
  std::vector<Tier> tiers{};

  // As it stands now.
  bool any_ready = false;
  bool any_good = false;  // ready and not ejected
  std::uint64_t all = 0;  // ip:ports
  std::uint64_t in_use = 0;
  bool panic = false;
  std::uint64_t in_use_before_panic = 0;
};

struct Plan {
  static constexpr std::uint32_t kNoMember = ~0u;

  std::uint64_t service_hash = 0;
  const mesh::LoadBalancing* balancing = nullptr;  // of the snapshot
  std::vector<PlanCluster> clusters;
  std::vector<Member> members;
  std::vector<std::uint32_t> member_of;  // by endpoint; kNoMember: none
  std::array<TierSet, 2> sets;           // draining last
  bool by_latency = false;
  std::uint64_t round_trips_seen = 0;
  MonotonicTime made_at{};

  // As it stands now.
  std::vector<bool> in_use;       // by member
  const TierSet* from = nullptr;  // the one of `sets` that is used; null: nothing is ready
  std::uint64_t health_seen = 0;
  MonotonicTime stands_until{};  // as long as nobody's health changes

  const Member* FindMember(std::size_t endpoint) const;
  // What follows is about ejections alone, whether they count or not.
  bool Ejected(const Member& member) const;
  std::optional<MonotonicTime> ClusterEjectedUntil(std::uint32_t cluster) const;
  // Of a member that is ejected: when a trial may begin.
  MonotonicTime TrialAt(const Member& member) const;
  bool WantsTrial(const Member& member, MonotonicTime now) const;
  double Warmth(const Member& member, MonotonicTime now) const;
};

// From where a balancer looks.
struct Place {
  std::string cluster;
  std::string node;
};

// What is remembered of a port from one plan to the next.
struct Memory {
  struct Known {
    std::shared_ptr<EndpointState> state;
    bool ready = false;
  };
  ByNameAndAddress<Known> endpoints{};  // by EndpointKey()
  // When what is ready now and was not, or was not there, became so. None: nothing was known
  // before, so nothing is new.
  std::optional<MonotonicTime> new_since{};
};

// Makes a plan of `wanted`; `memory` has a state for each of its endpoints then, and none else.
Plan MakePlan(const Wanted& wanted, const Place& own, Ways& ways, Memory& memory,
              MonotonicTime now);

// Works out how it stands now.
void Refresh(Plan& plan, const Changes& changes, MonotonicTime now);

}  // namespace tombolo::balance
