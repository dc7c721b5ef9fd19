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

}  // namespace tombolo::agent
