// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "agent/connection_table.h"
#include "agent/context.h"
#include "agent/quota.h"
#include "balance/balancer.h"
#include "net/async_fd.h"
#include "tunnel/tunnel.h"

namespace tombolo::agent {

// What has to be there while an application's connection is relayed.
struct Opened {
  std::unique_ptr<tunnel::Tunnel> tunnel;
  std::uint64_t early = 0;               // bytes sent with OPEN
  balance::Balancer::Attempt in_flight;  // until the connection has ended
  Quota::Share share;                    // of the workload's connections
};

// Relays between the application's socket and the tunnel. When it has ended, the tunnel goes
// back to its pool, or is closed.
void CarryOutbound(Context& context, ConnectionTable::Entry entry, net::AsyncFd plain,
                   Opened opened);

// Whether it leads through another cluster's gateway that the directory no longer has.
bool WayHasGone(const Context& context, const tunnel::Tunnel& tunnel);

// For the next connection, unless its way has gone, or it was made with credentials or a bundle
// that have been replaced meanwhile, or is spoilt: then it is closed.
void KeepTunnel(Context& context, std::unique_ptr<tunnel::Tunnel> tunnel);

}  // namespace tombolo::agent
