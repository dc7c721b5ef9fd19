// SPDX-License-Identifier: Apache-2.0
#include "agent/gateway_topology.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include <boost/json/array.hpp>

#include "agent/topology.h"
#include "agent/views.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;

// With the health of the node, if a tunnel has ever been for it.
json::object NodeJson(const mesh::Node& node, const gateway::Nodes& known, MonotonicTime now) {
  json::object out{{"kind", "node"},
                   {"name", node.name},
                   {"address", node.tunnel_address.ToString()},
                   {"zone", node.zone}};
  const auto found = known.all().find({node.name, node.tunnel_address, node.zone});
  if (found == known.all().end()) return out;
  const Duration avoided = std::max(found->second->avoided_until() - now, Duration::zero());
  out["in_flight"] = found->second->tunnels();
  out["ejected"] = avoided > Duration::zero();
  out["ejected_for_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(avoided).count();
  return out;
}

json::object ClusterJson(const mesh::Cluster& cluster, const SeenByGateway& seen,
                         MonotonicTime now) {
  const bool own = cluster.name == seen.own_cluster;
  json::array ways = GatewaysJson(cluster);
  if (own) {
    for (const mesh::Node& node : cluster.nodes) ways.push_back(NodeJson(node, seen.nodes, now));
  }
  json::object out{{"name", cluster.name},
                   {"region", cluster.region},
                   {"own", own},
                   {"alive", !seen.away.contains(cluster.name)},
                   {"draining", cluster.draining},
                   {"ways", std::move(ways)}};
  if (cluster.drain_deadline) out["drain_deadline"] = Rfc3339(*cluster.drain_deadline);
  return out;
}

}  // namespace

json::object TopologyJson(const SeenByGateway& seen, MonotonicTime now) {
  json::array clusters;
  for (const mesh::Cluster& cluster : seen.snapshot.clusters) {
    clusters.push_back(ClusterJson(cluster, seen, now));
  }
  AddUnknown(seen.away, seen.snapshot, clusters);
  return {{"role", "gateway"},
          {"clusters", std::move(clusters)},
          {"links", LinksJson(seen.links, now)},
          {"services", ServicesByCluster(seen.snapshot, nullptr)}};
}

}  // namespace tombolo::agent
