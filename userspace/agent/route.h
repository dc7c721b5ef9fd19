// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "balance/choice.h"
#include "base/spiffe_id.h"
#include "mesh/snapshot.h"
#include "net/address.h"
#include "tunnel.pb.h"

namespace tombolo::agent {

// Where an attempt leads.
struct Route {
  const mesh::Endpoint* endpoint = nullptr;
  net::SocketAddress address;  // of the agent that has the endpoint, or of a gateway
  // Whose that is: where the endpoint's cluster is reached by links, the one that has these.
  std::string dialed_cluster;
  std::string server_name;
  std::string pool_key;  // whose idle tunnels may be used instead of dialling
};

// Who asks for what.
struct RouteTarget {
  const SpiffeId& source;
  const mesh::Service& service;
  std::uint16_t port;
};

// To an endpoint on a node: the node. To one behind gateways: `gateway`, which is one of its
// cluster's. NotFound: the directory does not say where that is.
absl::StatusOr<Route> RouteTo(const mesh::Snapshot& snapshot, const RouteTarget& target,
                              const mesh::Endpoint& endpoint, const mesh::Gateway* gateway);

// The same to where a balancer has chosen to go.
absl::StatusOr<Route> RouteTo(const mesh::Snapshot& snapshot, const SpiffeId& source,
                              const mesh::ServiceRef& target, const balance::Choice& choice);

// An idle tunnel to the choice's cluster may lead through another gateway than was chosen: then
// the choice is that one. `address` is where the tunnel leads.
void GoThrough(const mesh::Snapshot& snapshot, const mesh::Endpoint& endpoint,
               absl::string_view address, balance::Choice& choice);

// Whether a tunnel to another cluster, dialled at `address`, leads through a gateway that the
// directory no longer has. It drains, or has been taken away: what idles there would keep it
// waiting. False of a cluster whose nodes are dialled.
bool LeadsThroughGoneGateway(const mesh::Snapshot& snapshot, absl::string_view cluster,
                             absl::string_view address);

// What OPEN says of the endpoint. Of one behind gateways nothing: the node that the gateway has
// picked chooses.
void NameEndpoint(const mesh::Endpoint& endpoint, tunnel::proto::Open& open);

void ToProto(const net::SocketAddress& address, tunnel::proto::Address& out);

}  // namespace tombolo::agent
