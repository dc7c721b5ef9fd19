// SPDX-License-Identifier: Apache-2.0
#include "agent/balance_views.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "agent/views.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;

template <typename Unit>
std::int64_t Count(Duration duration) {
  return std::chrono::duration_cast<Unit>(duration).count();
}

// What other clusters dial of `cluster`, or this one of its own: visits (name, address, zone).
template <typename Visit>
void ForEachWay(const mesh::Cluster& cluster, const std::string& own_cluster, Visit visit) {
  if (cluster.name != own_cluster && !cluster.gateways.empty()) {
    for (const mesh::Gateway& way : cluster.ways) {
      visit("gateway", way);
    }
  } else {
    for (const mesh::Node& way : cluster.nodes) {
      visit("node",
            mesh::Gateway{.name = way.name, .address = way.tunnel_address, .zone = way.zone});
    }
  }
}

// The next view of a list; what is beyond its end is not known.
template <typename View>
View Next(const std::vector<View>& views, std::size_t& next) {
  return next < views.size() ? views[next++] : View{};
}

void AddHealth(const balance::EndpointView& view, json::object& out) {
  out["in_flight"] = view.in_flight;
  out["ejected"] = view.ejected;
  out["ejected_for_ms"] = Count<std::chrono::milliseconds>(view.ejected_for);
  out["warmth_percent"] = std::lround(view.warmth * 100);
  if (view.connect_latency) {
    out["connect_us"] = Count<std::chrono::microseconds>(*view.connect_latency);
  }
}

json::object EndpointJson(const mesh::Endpoint& endpoint, const balance::EndpointView& view) {
  json::object out{{"workload", endpoint.workload},
                   {"identity", endpoint.identity.text()},
                   {"cluster", endpoint.cluster},
                   {"node", endpoint.node},
                   {"address", endpoint.Where()},
                   {"ready", endpoint.ready},
                   {"weight", endpoint.weight},
                   {"members", endpoint.members},
                   {"ready_members", endpoint.ready_members}};
  AddHealth(view, out);
  return out;
}

template <typename Time>
void TakeLater(Time& sum, const Time& one) {
  sum = std::max(sum, one);
}

void AddView(balance::EndpointView& sum, const balance::EndpointView& one) {
  sum.in_flight += one.in_flight;
  sum.ejected |= one.ejected;
  TakeLater(sum.ejected_for, one.ejected_for);
  sum.warmth = std::min(sum.warmth, one.warmth);
  TakeLater(sum.connect_latency, one.connect_latency);
}

void AddView(balance::ClusterView& sum, const balance::ClusterView& one) {
  sum.ejected |= one.ejected;
  TakeLater(sum.ejected_for, one.ejected_for);
  TakeLater(sum.round_trip, one.round_trip);
}

template <typename View>
void AddAll(std::vector<View>& sum, const std::vector<View>& one) {
  sum.resize(std::max(sum.size(), one.size()));
  for (std::size_t i = 0; i < one.size(); ++i) AddView(sum[i], one[i]);
}

}  // namespace

BalanceViews BalanceOf(const Context& context, const mesh::Snapshot& snapshot) {
  BalanceViews views;
  const MonotonicTime now = std::chrono::steady_clock::now();
  for (const mesh::Service& service : snapshot.services) {
    const std::string name = service.FullName();
    for (const mesh::ServicePort& port : service.ports) {
      for (const mesh::Endpoint& endpoint : port.endpoints) {
        views.endpoints.push_back(context.balancer.View(name, port.port, endpoint, now));
      }
    }
  }
  for (const mesh::Cluster& cluster : snapshot.clusters) {
    views.clusters.push_back(context.balancer.ViewCluster(cluster.name, now));
    ForEachWay(cluster, context.settings.cluster, [&](const char*, const mesh::Gateway& way) {
      views.ways.push_back(context.balancer.ViewWay(cluster.name, way.address, now));
    });
  }
  return views;
}

void AddTo(BalanceViews& sum, const BalanceViews& one) {
  AddAll(sum.endpoints, one.endpoints);
  AddAll(sum.clusters, one.clusters);
  AddAll(sum.ways, one.ways);
}

json::object ServicesJson(const mesh::Snapshot& snapshot, const BalanceViews& views) {
  json::array services;
  std::size_t next = 0;
  for (const mesh::Service& service : snapshot.services) {
    json::array vips, ports;
    for (const net::IpAddress& vip : service.vips) vips.emplace_back(vip.ToString());
    for (const mesh::ServicePort& port : service.ports) {
      json::array list;
      for (const mesh::Endpoint& endpoint : port.endpoints) {
        list.push_back(EndpointJson(endpoint, Next(views.endpoints, next)));
      }
      ports.push_back(json::object{{"port", port.port}, {"endpoints", std::move(list)}});
    }
    services.push_back(json::object{
        {"name", service.FullName()}, {"vips", std::move(vips)}, {"ports", std::move(ports)}});
  }
  return {{"services", std::move(services)}};
}

json::object ClustersJson(const mesh::Snapshot& snapshot, const std::string& own_cluster,
                          const BalanceViews& views) {
  json::array clusters;
  std::size_t next = 0;
  std::size_t next_way = 0;
  for (const mesh::Cluster& cluster : snapshot.clusters) {
    const balance::ClusterView view = Next(views.clusters, next);
    json::array ways;
    ForEachWay(cluster, own_cluster, [&](const char* kind, const mesh::Gateway& way) {
      json::object out{{"kind", kind},
                       {"name", way.name},
                       {"address", way.address.ToString()},
                       {"zone", way.zone}};
      if (!way.via.empty()) out["via"] = way.via;
      AddHealth(Next(views.ways, next_way), out);
      ways.push_back(std::move(out));
    });
    json::object out{{"name", cluster.name},
                     {"region", cluster.region},
                     {"own", cluster.name == own_cluster},
                     {"draining", cluster.draining},
                     {"ejected", view.ejected},
                     {"ejected_for_ms", Count<std::chrono::milliseconds>(view.ejected_for)},
                     {"ways", std::move(ways)}};
    if (cluster.drain_deadline) out["drain_deadline"] = Rfc3339(*cluster.drain_deadline);
    if (view.round_trip) out["round_trip_us"] = Count<std::chrono::microseconds>(*view.round_trip);
    clusters.push_back(std::move(out));
  }
  return {{"clusters", std::move(clusters)}};
}

}  // namespace tombolo::agent
