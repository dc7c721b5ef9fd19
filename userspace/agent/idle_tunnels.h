// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "agent/context.h"
#include "agent/world.h"
#include "tunnel/tunnel.h"

// Which tunnels wait for another connection, and which do not. On the data thread.
namespace tombolo::agent {

// Of either end: whether no other connection is to begin on it, because it was made with
// credentials that have been replaced, or what may be carried on it is no longer allowed or served
// by its peer.
bool IsStale(const World& world, const tunnel::Tunnel& tunnel);

// Of a dialer's: whether it is not to wait in its pool. It is stale, goes to a cluster that drains,
// or leads through another cluster's gateway that the directory no longer has.
bool IsOfNoUse(const Context& context, const tunnel::Tunnel& tunnel);

// For the next connection, unless it is of no use, or spoilt: then it is closed.
void KeepTunnel(Context& context, std::unique_ptr<tunnel::Tunnel> tunnel);

}  // namespace tombolo::agent
