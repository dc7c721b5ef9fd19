// SPDX-License-Identifier: Apache-2.0
#include "agent/idle_tunnels.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "agent/connection_table.h"
#include "agent/route.h"
#include "mesh/snapshot.h"

namespace tombolo::agent {
namespace {

using tunnel::Tunnel;

// What a tunnel may carry: always the same pair of identities, service and port.
Connection AsConnection(const Tunnel& tunnel) {
  const bool dialed = tunnel.role() == tunnel::Role::kDialer;
  Connection connection;
  connection.source = dialed ? tunnel.info().local : tunnel.info().peer;
  connection.server = dialed ? tunnel.info().peer : tunnel.info().local;
  connection.service = tunnel.service;
  connection.port = tunnel.port;
  return connection;
}

}  // namespace

bool IsStale(const World& world, const Tunnel& tunnel) {
  return world.identities->Find(tunnel.info().local) != tunnel.credentials ||
         !MayCarryNew(world, AsConnection(tunnel)) || !CheckRevoked(world, tunnel).ok();
}

bool IsOfNoUse(const Context& context, const Tunnel& tunnel) {
  if (IsStale(*context.world, tunnel)) return true;
  const mesh::Snapshot& snapshot = *context.world->snapshot;
  const absl::string_view name = tunnel.info().peer.name().cluster;
  const mesh::Cluster* cluster = snapshot.FindCluster(name);
  if (cluster != nullptr && cluster->draining) return true;
  return name != context.settings.cluster &&
         LeadsThroughGoneGateway(snapshot, name, tunnel.peer_address);
}

void KeepTunnel(Context& context, std::unique_ptr<Tunnel> tunnel) {
  if (IsOfNoUse(context, *tunnel)) tunnel->Retire();
  context.pool.Put(std::move(tunnel));
}

}  // namespace tombolo::agent
