// SPDX-License-Identifier: Apache-2.0
#include "agent/desired_state.h"

#include <algorithm>

#include "policy/authorize.h"
#include "tunnel/routing_id.h"

namespace tombolo::agent {
namespace {

using State = datapath::DesiredState;

void AddServices(const mesh::Snapshot& snapshot, State& state) {
  for (const mesh::Service& service : snapshot.services) {
    for (const mesh::ServicePort& port : service.ports) {
      const bool ready = std::any_of(port.endpoints.begin(), port.endpoints.end(),
                                     [](const mesh::Endpoint& e) { return e.ready; });
      for (const net::IpAddress& vip : service.vips) {
        state.services.push_back(
            {.vip = {vip, port.port},
             .id = tunnel::ServicePortId(service.FullName(), port.port),
             .action = ready ? State::Action::kCapture : State::Action::kRefuse});
      }
    }
  }
}

void AddAllowed(const mesh::Snapshot& snapshot, const mesh::Workload& workload,
                std::uint64_t cgroup_id, State& state) {
  for (const mesh::Service& service : snapshot.services) {
    for (const mesh::ServicePort& port : service.ports) {
      if (!policy::Authorize(snapshot, workload.id, service.FullName(), port.port).allowed)
        continue;
      state.allowed.push_back({cgroup_id, tunnel::ServicePortId(service.FullName(), port.port)});
    }
  }
}

}  // namespace

State MakeDesiredState(const mesh::Snapshot& snapshot,
                       const std::map<std::string, Enrolment::Entry>& entries,
                       const std::vector<std::uint64_t>& retired,
                       const std::vector<net::Prefix>& protected_ranges, std::uint64_t own_cgroup) {
  State state;
  state.protected_ranges = protected_ranges;
  // A client may know such a VIP before this agent does, from a cache for example.
  if (snapshot.imports) state.service_ranges = snapshot.imports->vips;
  AddServices(snapshot, state);
  for (const auto& [name, entry] : entries) {
    const mesh::Workload* workload = snapshot.FindWorkload(name);
    if (entry.cgroup_id == 0 || workload == nullptr) continue;
    state.workloads.push_back({.cgroup_id = entry.cgroup_id, .exempt = false});
    AddAllowed(snapshot, *workload, entry.cgroup_id, state);
  }
  for (const std::uint64_t cgroup_id : retired) {
    state.workloads.push_back({.cgroup_id = cgroup_id, .exempt = false});
  }
  // An agent that was started inside a workload's cgroup does not exempt the workload.
  const bool shared = std::ranges::any_of(
      state.workloads, [&](const auto& workload) { return workload.cgroup_id == own_cgroup; });
  if (own_cgroup != 0 && !shared)
    state.workloads.push_back({.cgroup_id = own_cgroup, .exempt = true});
  return state;
}

}  // namespace tombolo::agent
