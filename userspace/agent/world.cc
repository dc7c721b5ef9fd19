// SPDX-License-Identifier: Apache-2.0
#include "agent/world.h"

#include "tunnel/routing_id.h"

namespace tombolo::agent {

absl::flat_hash_map<std::string, World::Served> ServedBy(const mesh::Snapshot& snapshot,
                                                         const std::string& cluster,
                                                         const std::string& node) {
  absl::flat_hash_map<std::string, World::Served> served;
  for (const mesh::Service& service : snapshot.services) {
    for (const mesh::ServicePort& port : service.ports) {
      for (const mesh::Endpoint& endpoint : port.endpoints) {
        if (endpoint.cluster != cluster || endpoint.node != node) continue;
        served.try_emplace(tunnel::RoutingId(service.FullName(), port.port, endpoint.identity),
                           World::Served{&service, &port, endpoint.identity});
      }
    }
  }
  return served;
}

}  // namespace tombolo::agent
