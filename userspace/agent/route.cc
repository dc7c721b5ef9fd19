// SPDX-License-Identifier: Apache-2.0
#include "agent/route.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tunnel/routing_id.h"

namespace tombolo::agent {
namespace {

// What an idle tunnel has to have in common with a connection that may use it: who asks, what
// the far end proved to be, and, of a node, which one it is, because OPEN will name one of its
// endpoints.
//
// Which gateway a tunnel came through is no part of it: behind each of them the choice of a node
// has been made in the same way, and the node chooses the endpoint. With it, a connection for
// which the other gateway is picked would leave a warm tunnel alone and pay the round trips of a
// new one, and as many tunnels would idle as there are gateways. A gateway that has died takes
// its tunnels out of the pool by their address (Tunnel::peer_address).
std::string PoolKey(const SpiffeId& source, const Route& route) {
  std::string key = absl::StrCat(source.text(), " ", route.server_name);
  if (!route.endpoint->behind_gateways()) absl::StrAppend(&key, " ", route.address.ToString());
  return key;
}

absl::StatusOr<net::SocketAddress> WhereToDial(const mesh::Snapshot& snapshot,
                                               const mesh::Endpoint& endpoint,
                                               const mesh::Gateway* gateway) {
  if (endpoint.behind_gateways()) {
    if (gateway != nullptr) return gateway->address;
    return absl::NotFoundError(
        absl::StrCat("cluster '", endpoint.cluster, "' has no gateway that could be dialled"));
  }
  const mesh::Node* node = snapshot.FindNode(endpoint.cluster, endpoint.node);
  if (node == nullptr) return absl::NotFoundError("the endpoint's node is not in the directory");
  return node->tunnel_address;
}

}  // namespace

absl::StatusOr<Route> RouteTo(const mesh::Snapshot& snapshot, const RouteTarget& target,
                              const mesh::Endpoint& endpoint, const mesh::Gateway* gateway) {
  Route route;
  route.endpoint = &endpoint;
  ASSIGN_OR_RETURN(route.address, WhereToDial(snapshot, endpoint, gateway));
  const bool linked = endpoint.behind_gateways() && !gateway->via.empty();
  route.dialed_cluster = linked ? gateway->via : endpoint.cluster;
  route.server_name = tunnel::ServerName(
      tunnel::RoutingId(target.service.FullName(), target.port, endpoint.identity),
      endpoint.cluster);
  route.pool_key = PoolKey(target.source, route);
  return route;
}

absl::StatusOr<Route> RouteTo(const mesh::Snapshot& snapshot, const SpiffeId& source,
                              const mesh::ServiceRef& target, const balance::Choice& choice) {
  const mesh::Endpoint& endpoint = target.port->endpoints[choice.endpoint];
  const mesh::Cluster* cluster = snapshot.FindCluster(endpoint.cluster);
  const bool by_gateway = choice.gateway && cluster != nullptr;
  return RouteTo(snapshot, {source, *target.service, target.port->port}, endpoint,
                 by_gateway ? &cluster->ways[*choice.gateway] : nullptr);
}

void GoThrough(const mesh::Snapshot& snapshot, const mesh::Endpoint& endpoint,
               absl::string_view address, balance::Choice& choice) {
  if (!choice.gateway) return;
  const auto& ways = snapshot.FindCluster(endpoint.cluster)->ways;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    if (ways[i].address.ToString() == address) choice.gateway = i;
  }
}

void ToProto(const net::SocketAddress& address, tunnel::proto::Address& out) {
  const auto& bytes = address.ip.bytes();
  out.set_ip(std::string(bytes.begin(), bytes.end()));
  out.set_port(address.port);
}

bool LeadsThroughGoneGateway(const mesh::Snapshot& snapshot, absl::string_view cluster,
                             absl::string_view address) {
  const mesh::Cluster* found = snapshot.FindCluster(cluster);
  if (found == nullptr || found->gateways.empty()) return false;
  const absl::StatusOr<net::SocketAddress> way = net::SocketAddress::Parse(address);
  return way.ok() && std::none_of(found->ways.begin(), found->ways.end(),
                                  [&](const mesh::Gateway& each) { return each.address == *way; });
}

void NameEndpoint(const mesh::Endpoint& endpoint, tunnel::proto::Open& open) {
  if (endpoint.behind_gateways()) return;
  ToProto(endpoint.address, *open.mutable_endpoint());
  open.set_endpoint_workload(endpoint.workload);
}

}  // namespace tombolo::agent
