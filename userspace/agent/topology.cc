// SPDX-License-Identifier: Apache-2.0
#include "agent/topology.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/views.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;

constexpr std::size_t kNamesInSentence = 5;

// Of one port, in one cluster; counts are of ip:ports.
struct Served {
  std::uint64_t endpoints = 0, ready = 0, ejected = 0, in_flight = 0;
};

json::object PortJson(const mesh::ServicePort& port, const BalanceViews* views, std::size_t& next) {
  std::map<std::string, Served> clusters;
  for (const mesh::Endpoint& endpoint : port.endpoints) {
    const balance::EndpointView view = views != nullptr && next < views->endpoints.size()
                                           ? views->endpoints[next]
                                           : balance::EndpointView();
    ++next;
    Served& served = clusters[endpoint.cluster];
    served.endpoints += endpoint.members;
    served.ready += endpoint.ready ? endpoint.ready_members : 0;
    served.ejected += view.ejected ? endpoint.members : 0;
    served.in_flight += view.in_flight;
  }
  json::array list;
  for (const auto& [name, served] : clusters) {
    json::object shown{{"name", name}, {"endpoints", served.endpoints}, {"ready", served.ready}};
    if (views != nullptr) {
      shown["ejected"] = served.ejected;
      shown["in_flight"] = served.in_flight;
    }
    list.push_back(std::move(shown));
  }
  return {{"port", port.port}, {"clusters", std::move(list)}};
}

// What is known here of the links of `cluster`: whether its own gateways are at the other ends only
// those of `via` see, but tunnels to it come to nothing where none is.
json::object LinkJson(const mesh::Cluster& cluster, const std::string& via,
                      const json::array& ways) {
  json::array gateways;
  for (const mesh::Gateway& gateway : cluster.gateways) {
    if (gateway.via == via) gateways.emplace_back(gateway.name);
  }
  std::size_t all = 0, ejected = 0;
  for (const json::value& way : ways) {
    const json::value* through = way.as_object().if_contains("via");
    if (through == nullptr || through->as_string() != via) continue;
    ++all;
    if (way.at("ejected").as_bool()) ++ejected;
  }
  return {{"role", "user"},
          {"cluster", cluster.name},
          {"via", via},
          {"gateways", std::move(gateways)},
          {"ways", all},
          {"ways_ejected", ejected},
          {"state", ejected < all ? "up" : "down"}};
}

void AddLinks(const mesh::Cluster& cluster, const json::array& ways, json::array& links) {
  std::set<std::string> vias;
  for (const mesh::Gateway& gateway : cluster.gateways) {
    if (!gateway.via.empty()) vias.insert(gateway.via);
  }
  for (const std::string& via : vias) links.push_back(LinkJson(cluster, via, ways));
}

// Whether `port` is served by the cluster, and by no other that takes new connections.
bool OnlyThere(const mesh::Snapshot& snapshot, const mesh::ServicePort& port,
               const mesh::Cluster& cluster) {
  bool there = false;
  for (const mesh::Endpoint& endpoint : port.endpoints) {
    if (!endpoint.ready) continue;
    if (endpoint.cluster == cluster.name) {
      there = true;
      continue;
    }
    const mesh::Cluster* other = snapshot.FindCluster(endpoint.cluster);
    if (other != nullptr && !other->draining) return false;
  }
  return there;
}

std::vector<std::string> OnlyThere(const mesh::Snapshot& snapshot, const mesh::Cluster& cluster) {
  std::vector<std::string> names;
  for (const mesh::Service& service : snapshot.services) {
    const bool only = std::ranges::any_of(service.ports, [&](const mesh::ServicePort& port) {
      return OnlyThere(snapshot, port, cluster);
    });
    if (only) names.push_back(service.FullName());
  }
  return names;
}

}  // namespace

Traffic TrafficOf(const Context& context) {
  Traffic traffic;
  for (const Connection& connection : context.connections.all()) {
    if (connection.role != tunnel::Role::kDialer || connection.server.empty()) continue;
    ++traffic[std::string(connection.server.name().cluster)].connections;
  }
  context.pool.ForEach([&](const tunnel::Tunnel& tunnel) {
    ++traffic[std::string(tunnel.info().peer.name().cluster)].idle_tunnels;
  });
  return traffic;
}

void AddTo(Traffic& sum, const Traffic& one) {
  for (const auto& [cluster, traffic] : one) {
    sum[cluster].connections += traffic.connections;
    sum[cluster].idle_tunnels += traffic.idle_tunnels;
  }
}

std::string DrainInWords(const mesh::Snapshot& snapshot, const mesh::Cluster& cluster,
                         const ClusterTraffic& traffic) {
  if (!cluster.draining) return "";
  std::string words =
      absl::StrCat("draining: new connections go elsewhere; of this agent's, ", traffic.connections,
                   " still run there, and ", traffic.idle_tunnels, " tunnels idle");
  if (cluster.drain_deadline) {
    absl::StrAppend(&words, "; at ", Rfc3339(*cluster.drain_deadline), " what still runs is ended");
  }
  std::vector<std::string> only = OnlyThere(snapshot, cluster);
  if (only.empty()) return words;
  const std::size_t more = only.size() - std::min(only.size(), kNamesInSentence);
  only.resize(only.size() - more);
  absl::StrAppend(&words, "; nobody else has ", absl::StrJoin(only, ", "));
  if (more > 0) absl::StrAppend(&words, " and ", more, " more services");
  absl::StrAppend(&words, ", which it goes on to serve");
  return words;
}

json::array GatewaysJson(const mesh::Cluster& cluster) {
  json::array gateways;
  for (const mesh::Gateway& gateway : cluster.gateways) {
    json::object out{{"kind", "gateway"}, {"name", gateway.name}, {"zone", gateway.zone}};
    if (gateway.via.empty()) {
      out["address"] = gateway.address.ToString();
    } else {
      out["via"] = gateway.via;
    }
    gateways.push_back(std::move(out));
  }
  return gateways;
}

void AddUnknown(const std::set<std::string>& away, const mesh::Snapshot& snapshot,
                json::array& clusters) {
  for (const std::string& name : away) {
    if (snapshot.FindCluster(name) != nullptr) continue;
    clusters.push_back(json::object{{"name", name}, {"alive", false}});
  }
}

json::array ServicesByCluster(const mesh::Snapshot& snapshot, const BalanceViews* views) {
  json::array services;
  std::size_t next = 0;
  for (const mesh::Service& service : snapshot.services) {
    json::array vips, ports;
    for (const net::IpAddress& vip : service.vips) vips.emplace_back(vip.ToString());
    for (const mesh::ServicePort& port : service.ports) {
      ports.push_back(PortJson(port, views, next));
    }
    services.push_back(json::object{
        {"name", service.FullName()}, {"vips", std::move(vips)}, {"ports", std::move(ports)}});
  }
  return services;
}

json::object TopologyJson(const Seen& seen) {
  json::object out = ClustersJson(seen.snapshot, seen.own_cluster, seen.views);
  out["role"] = "node";
  json::array links;
  json::array& clusters = out["clusters"].as_array();
  for (std::size_t i = 0; i < seen.snapshot.clusters.size(); ++i) {
    const mesh::Cluster& cluster = seen.snapshot.clusters[i];
    const auto found = seen.traffic.find(cluster.name);
    const ClusterTraffic traffic = found == seen.traffic.end() ? ClusterTraffic() : found->second;
    json::object& shown = clusters[i].as_object();
    shown["alive"] = !seen.away.contains(cluster.name);
    shown["connections"] = traffic.connections;
    shown["idle_tunnels"] = traffic.idle_tunnels;
    shown["drain"] = DrainInWords(seen.snapshot, cluster, traffic);
    json::array& ways = shown["ways"].as_array();
    if (cluster.name != seen.own_cluster) {
      AddLinks(cluster, ways, links);
      continue;
    }
    // Nobody here dials them, but they are there.
    for (json::value& gateway : GatewaysJson(cluster)) ways.push_back(std::move(gateway));
  }
  AddUnknown(seen.away, seen.snapshot, clusters);
  out["links"] = std::move(links);
  out["services"] = ServicesByCluster(seen.snapshot, &seen.views);
  return out;
}

}  // namespace tombolo::agent
