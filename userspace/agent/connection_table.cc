// SPDX-License-Identifier: Apache-2.0
#include "agent/connection_table.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "policy/authorize.h"

namespace tombolo::agent {
namespace {

bool ServerStillListed(const mesh::Snapshot& snapshot, const Connection& connection) {
  const mesh::Service* service = snapshot.FindService(connection.service);
  if (service == nullptr) return false;
  const mesh::ServicePort* port = service->FindPort(connection.port);
  if (port == nullptr) return false;
  for (const mesh::Endpoint& endpoint : port->endpoints) {
    if (endpoint.identity == connection.server) return true;
  }
  return false;
}

}  // namespace

absl::Status CheckRevoked(const World& world, const tunnel::Tunnel& tunnel) {
  const tls::SessionInfo& info = tunnel.info();
  RETURN_IF_ERROR(world.identities->CheckRevoked(info.peer, info.peer_serial));
  return world.identities->CheckRevoked(info.local, tunnel.credentials->serial());
}

absl::Status StillAllowed(const World& world, const Connection& connection) {
  const policy::Decision decision =
      policy::Authorize(*world.snapshot, connection.source, connection.service, connection.port);
  if (!decision.allowed) {
    return absl::PermissionDeniedError(absl::StrCat("no longer allowed: ", decision.reason));
  }
  if (!ServerStillListed(*world.snapshot, connection)) {
    return absl::PermissionDeniedError("the service no longer lists the server's identity");
  }
  if (connection.tunnel == nullptr) return world.identities->CheckRevoked(connection.source, "");
  return CheckRevoked(world, *connection.tunnel);
}

}  // namespace tombolo::agent
