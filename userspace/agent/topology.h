// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "agent/balance_views.h"
#include "agent/context.h"
#include "mesh/snapshot.h"

// The whole clusterset as one agent sees it, for the admin API (docs/admin-api.md: topology).
namespace tombolo::agent {

// What an agent has in a cluster: what it dials, not what comes from there.
struct ClusterTraffic {
  std::size_t connections = 0;
  std::size_t idle_tunnels = 0;
};
using Traffic = std::map<std::string, ClusterTraffic>;  // by cluster

// Of one data thread, called on it.
Traffic TrafficOf(const Context& context);
void AddTo(Traffic& sum, const Traffic& one);

struct Seen {
  const mesh::Snapshot& snapshot;
  const std::string& own_cluster;
  const BalanceViews& views;  // all threads'
  const Traffic& traffic;
  std::set<std::string> away{};  // members without a gateway that is alive
};
boost::json::object TopologyJson(const Seen& seen);

// What nodes and gateways tell alike. The gateways that a cluster has, as the directory says;
boost::json::array GatewaysJson(const mesh::Cluster& cluster);
// adds those of `away` of which nothing else is known;
void AddUnknown(const std::set<std::string>& away, const mesh::Snapshot& snapshot,
                boost::json::array& clusters);
// where each service is served. `views` is null where none is chosen among endpoints.
boost::json::array ServicesByCluster(const mesh::Snapshot& snapshot, const BalanceViews* views);

// What a drain does, in a sentence; "" of a cluster that does not drain.
std::string DrainInWords(const mesh::Snapshot& snapshot, const mesh::Cluster& cluster,
                         const ClusterTraffic& traffic);

}  // namespace tombolo::agent
