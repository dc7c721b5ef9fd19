// SPDX-License-Identifier: Apache-2.0
#include "agent/connection_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "mesh/snapshot.h"
#include "policy/authorize.h"

namespace tombolo::agent {
namespace {

bool Lists(const mesh::Snapshot& snapshot, const Connection& connection) {
  const mesh::Service* service = snapshot.FindService(connection.service);
  const mesh::ServicePort* port = service == nullptr ? nullptr : service->FindPort(connection.port);
  if (port == nullptr) return false;
  return std::ranges::any_of(port->endpoints, [&](const mesh::Endpoint& endpoint) {
    return endpoint.identity == connection.server;
  });
}

// Of a service that moves, who served it is no longer listed, and goes on with what runs. Only a
// cluster that may serve nothing like it any more has to let go of it.
absl::Status CheckServer(const mesh::Snapshot& snapshot, const Connection& connection) {
  const SpiffeId::Name name = connection.server.name();
  const mesh::Cluster* cluster = snapshot.FindCluster(name.cluster);
  const absl::string_view service = connection.service;
  const absl::string_view ns = service.substr(0, service.find('/'));
  if (name.kind == SpiffeId::Kind::kWorkload && cluster != nullptr && cluster->MayServe(name.ns) &&
      cluster->MayServe(ns)) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      absl::StrCat("'", connection.server.text(), "' may no longer serve ", service));
}

}  // namespace

absl::Status CheckRevoked(const World& world, const tunnel::Tunnel& tunnel) {
  const tls::SessionInfo& info = tunnel.info();
  RETURN_IF_ERROR(world.identities->CheckRevoked(info.peer, info.peer_serial));
  return world.identities->CheckRevoked(info.local, tunnel.credentials->serial());
}

absl::Status StillAllowed(const World& world, const Connection& connection) {
  const policy::Decision decision = policy::AuthorizeRunning(*world.snapshot, connection.source,
                                                             connection.service, connection.port);
  if (!decision.allowed) {
    return absl::PermissionDeniedError(absl::StrCat("no longer allowed: ", decision.reason));
  }
  RETURN_IF_ERROR(CheckServer(*world.snapshot, connection));
  if (connection.tunnel == nullptr) return world.identities->CheckRevoked(connection.source, "");
  return CheckRevoked(world, *connection.tunnel);
}

bool MayCarryNew(const World& world, const Connection& connection) {
  return StillAllowed(world, connection).ok() && Lists(*world.snapshot, connection);
}

}  // namespace tombolo::agent
