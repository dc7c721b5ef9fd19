// SPDX-License-Identifier: Apache-2.0
#include "agent/world.h"

#include "absl/strings/str_cat.h"
#include "agent/views.h"
#include "tunnel/routing_id.h"

namespace tombolo::agent {
namespace {

constexpr std::uint32_t kOthersShare = 4;  // of handshakes: what gateways leave to others

}  // namespace

absl::StatusOr<tls::CredentialsPtr> World::CredentialsOf(const SpiffeId& id) const {
  if (tls::CredentialsPtr found = identities->Find(id)) return found;
  const auto at = identities->entries().find(id);
  if (at == identities->entries().end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no workload of this node is '", id.text(), "'"));
  }
  const auto& credentials = at->second.credentials;
  const absl::Status& error = at->second.error;
  if (credentials == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the SVID of '", id.text(), "' was never loaded: ", error.message()));
  }
  std::string why =
      absl::StrCat("the SVID of '", id.text(), "' expired at ", Rfc3339(credentials->not_after()));
  if (!error.ok()) absl::StrAppend(&why, ", and the last attempt to replace it: ", error.message());
  return absl::FailedPreconditionError(why);
}

AddressLimits World::HandshakeLimits(const net::IpAddress& peer) const {
  AddressLimits of_peer{.name = "limits.handshakes",
                        .all = limits.handshakes,
                        .per_address = limits.handshakes_per_address};
  if (own_gateways.contains(peer)) {
    of_peer.per_address = limits.handshakes - limits.handshakes / kOthersShare;
    of_peer.holder = "the gateways of this cluster";
  }
  return of_peer;
}

absl::flat_hash_set<net::IpAddress> GatewaysOf(const mesh::Snapshot& snapshot,
                                               const std::string& cluster) {
  absl::flat_hash_set<net::IpAddress> addresses;
  const mesh::Cluster* found = snapshot.FindCluster(cluster);
  if (found == nullptr) return addresses;
  for (const mesh::Gateway& gateway : found->gateways) {
    if (gateway.via.empty()) addresses.insert(gateway.address.ip);
  }
  return addresses;
}

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
