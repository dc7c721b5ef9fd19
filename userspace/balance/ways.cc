// SPDX-License-Identifier: Apache-2.0
#include "balance/ways.h"

#include <algorithm>

namespace tombolo::balance {
namespace {

bool IsIn(const mesh::Snapshot& snapshot, const NameAndAddress& key, const Way& way) {
  if (!way.node.empty()) {
    const mesh::Node* node = snapshot.FindNode(key.first, way.node);
    return node != nullptr && node->tunnel_address == key.second;
  }
  const mesh::Cluster* cluster = snapshot.FindCluster(key.first);
  return cluster != nullptr &&
         std::any_of(cluster->ways.begin(), cluster->ways.end(),
                     [&](const mesh::Gateway& gateway) { return gateway.address == key.second; });
}

}  // namespace

void Way::OnFailure(MonotonicTime started, MonotonicTime now) {
  bool changed = health.OnFailure(started, now);
  // One node that has died is not its cluster: that takes two ways at least. (A cluster whose
  // gateways are all ejected is, too, but nobody has to remember that.)
  if (cluster->failed_way == nullptr) cluster->failed_way = this;
  cluster->several_ways_failed |= cluster->failed_way != this;
  changed |= cluster->health.OnFailure(started, now, cluster->several_ways_failed);
  if (changed) ++changes->health;
}

void Way::OnSuccess(MonotonicTime now) {
  silent = false;
  cluster->failed_way = nullptr;
  cluster->several_ways_failed = false;
  const bool is_back = health.OnSuccess(now);
  const bool cluster_is_back = cluster->health.OnSuccess(now);
  if (is_back || cluster_is_back) ++changes->health;
}

std::shared_ptr<ClusterState> Ways::Cluster(absl::string_view name) {
  auto found = clusters_.find(name);
  if (found == clusters_.end()) {
    found = clusters_.try_emplace(std::string(name), std::make_shared<ClusterState>()).first;
  }
  return found->second;
}

std::shared_ptr<Way> Ways::Of(absl::string_view cluster, const net::SocketAddress& address,
                              absl::string_view node) {
  const auto found = ways_.find(NameAndAddressView(cluster, address));
  if (found != ways_.end()) return found->second;
  auto way = std::make_shared<Way>();
  way->changes = changes_;
  way->cluster = Cluster(cluster);
  way->node = std::string(node);
  ways_.try_emplace(NameAndAddress(cluster, address), way);
  return way;
}

std::shared_ptr<Way> Ways::ToNode(absl::string_view cluster, const mesh::Node& node) {
  return Of(cluster, node.tunnel_address, node.name);
}

std::shared_ptr<Way> Ways::ToGateway(absl::string_view cluster, const mesh::Gateway& gateway) {
  return Of(cluster, gateway.address, "");
}

const ClusterState* Ways::FindCluster(absl::string_view name) const {
  const auto found = clusters_.find(name);
  return found == clusters_.end() ? nullptr : found->second.get();
}

const Way* Ways::Find(absl::string_view cluster, const net::SocketAddress& address) const {
  const auto found = ways_.find(NameAndAddressView(cluster, address));
  return found == ways_.end() ? nullptr : found->second.get();
}

void Ways::OnRoundTrip(absl::string_view cluster, Duration round_trip, MonotonicTime now) {
  if (Cluster(cluster)->round_trip.Add(round_trip, now)) ++changes_->round_trips;
}

void Ways::OnDead(absl::string_view cluster, const net::SocketAddress& address, MonotonicTime now) {
  const auto found = ways_.find(NameAndAddressView(cluster, address));
  if (found == ways_.end()) return;
  found->second->silent = true;
  if (found->second->health.Eject(now)) OnChange();
}

void Ways::OnAlive(absl::string_view cluster, const net::SocketAddress& address,
                   MonotonicTime now) {
  const auto found = ways_.find(NameAndAddressView(cluster, address));
  // A tunnel of before may answer where no new one can be made.
  if (found != ways_.end() && found->second->silent) found->second->OnSuccess(now);
}

void Ways::Keep(const mesh::Snapshot& snapshot) {
  absl::erase_if(ways_, [&](const auto& way) { return !IsIn(snapshot, way.first, *way.second); });
  absl::erase_if(clusters_, [&](const auto& cluster) {
    return snapshot.FindCluster(cluster.first) == nullptr;
  });
}

}  // namespace tombolo::balance
