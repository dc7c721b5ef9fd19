// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <random>
#include <string>

#include "agent/counters.h"
#include "agent/quota.h"
#include "base/task_group.h"
#include "base/time.h"
#include "gateway/mover.h"
#include "gateway/node.h"
#include "gateway/refusal.h"
#include "gateway/routes.h"
#include "net/address.h"
#include "net/async_fd.h"
#include "net/buffer_pool.h"
#include "source/agent_config.h"

namespace tombolo::agent {

// Everything that decides about a tunnel that comes to a gateway, at one moment. Built by the
// control thread, never changed afterwards, and swapped as a whole on each data thread.
struct GatewayWorld {
  source::AgentConfig::Deadlines deadlines;
  source::AgentConfig::Limits limits;
  std::string zone;  // the gateway's own; "": not known
  gateway::Routes routes;
};
using GatewayWorldPtr = std::shared_ptr<const GatewayWorld>;

// Of one thread, which adds to them; /metrics reads them.
struct GatewayCounters {
  Counters::By<gateway::Refusal, static_cast<std::size_t>(gateway::Refusal::kCount)> refused;
  Counters::Count tunnels{0};  // that reached a node
  Counters::Count reset{0};    // of those: ended by a reset
  gateway::Mover::Totals bytes;
};

// One tunnel on its way through.
struct GatewayTunnel {
  net::SocketAddress peer;
  std::string server_name;
  std::string service;  // namespace/name
  std::uint16_t port = 0;
  MonotonicTime opened_at = std::chrono::steady_clock::now();
  AddressShare share;
  gateway::Node::Use node;
  std::unique_ptr<gateway::Mover> mover;
};

// What the connections of one of a gateway's data threads share. All of it belongs to that thread,
// except `counters` (atomic) and `quotas` (locked).
struct GatewayContext {
  net::Poller& poller;
  net::BufferPool& buffers;
  GatewayCounters& counters;
  Quotas& quotas;
  TaskGroup& tasks;

  std::minstd_rand random{std::random_device()()};
  GatewayWorldPtr world{};  // replaced by the control thread's posts
  std::list<GatewayTunnel> tunnels{};
  std::size_t opening = 0;  // accepted, and no tunnel yet
};

}  // namespace tombolo::agent
