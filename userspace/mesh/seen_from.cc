// SPDX-License-Identifier: Apache-2.0
#include "mesh/seen_from.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"

namespace tombolo::mesh {
namespace {

std::uint32_t AddUpToMax(std::uint32_t a, std::uint32_t b) {
  const std::uint64_t sum = std::uint64_t{a} + b;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(sum, std::numeric_limits<std::uint32_t>::max()));
}

void AddMember(const Endpoint& member, Endpoint& all) {
  all.members = AddUpToMax(all.members, member.members);
  if (!member.ready) return;
  all.ready = true;
  all.ready_members = AddUpToMax(all.ready_members, member.ready_members);
  all.weight = AddUpToMax(all.weight, member.weight);
}

Endpoint None(const Endpoint& like) {
  Endpoint none;
  none.cluster = like.cluster;
  none.identity = like.identity;
  none.ready = false;
  none.weight = none.members = none.ready_members = 0;
  return none;
}

void Merge(const absl::flat_hash_set<std::string>& behind, ServicePort& port) {
  std::vector<Endpoint> merged;
  std::map<std::pair<std::string, SpiffeId>, std::size_t> places;
  for (Endpoint& endpoint : port.endpoints) {
    if (!behind.contains(endpoint.cluster)) {
      merged.push_back(std::move(endpoint));
      continue;
    }
    const auto [place, is_new] =
        places.try_emplace({endpoint.cluster, endpoint.identity}, merged.size());
    if (is_new) merged.push_back(None(endpoint));
    AddMember(endpoint, merged[place->second]);
  }
  port.endpoints = std::move(merged);
}

}  // namespace

void SeeFrom(const std::string& own, Snapshot& snapshot) {
  absl::flat_hash_set<std::string> behind;
  for (const Cluster& cluster : snapshot.clusters) {
    if (cluster.name != own && !cluster.gateways.empty()) behind.insert(cluster.name);
  }
  if (behind.empty()) return;
  for (Service& service : snapshot.services) {
    for (ServicePort& port : service.ports) Merge(behind, port);
  }
}

}  // namespace tombolo::mesh
