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

absl::Status CheckRevoked(const identity::Store& identities, const Connection& connection) {
  if (connection.tunnel == nullptr) return identities.CheckRevoked(connection.source, "");
  const tls::SessionInfo& info = connection.tunnel->info();
  RETURN_IF_ERROR(identities.CheckRevoked(info.peer, info.peer_serial));
  return identities.CheckRevoked(info.local, connection.tunnel->credentials->serial());
}

}  // namespace

absl::Status StillAllowed(const World& world, const Connection& connection) {
  const policy::Decision decision =
      policy::Authorize(*world.snapshot, connection.source, connection.service, connection.port);
  if (!decision.allowed) {
    return absl::PermissionDeniedError(absl::StrCat("no longer allowed: ", decision.reason));
  }
  if (!ServerStillListed(*world.snapshot, connection)) {
    return absl::PermissionDeniedError("the service no longer lists the server's identity");
  }
  return CheckRevoked(*world.identities, connection);
}

}  // namespace tombolo::agent
