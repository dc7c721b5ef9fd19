// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <random>
#include <string>

#include "agent/accepted_link.h"
#include "agent/counters.h"
#include "agent/link_rules.h"
#include "agent/quota.h"
#include "base/task_group.h"
#include "base/time.h"
#include "gateway/mover.h"
#include "gateway/node.h"
#include "gateway/refusal.h"
#include "gateway/routes.h"
#include "link/stock.h"
#include "net/address.h"
#include "net/async_fd.h"
#include "net/buffer_pool.h"
#include "net/wan_options.h"
#include "source/agent_config.h"

namespace tombolo::agent {

// Everything that decides about a tunnel that comes to a gateway, at one moment. Built by the
// control thread, never changed afterwards, and swapped as a whole on each data thread.
struct GatewayWorld {
  source::AgentConfig::Deadlines deadlines;
  source::AgentConfig::Limits limits;
  std::string zone;  // the gateway's own; "": not known
  gateway::Routes routes;
  LinkRules links{};
};
using GatewayWorldPtr = std::shared_ptr<const GatewayWorld>;

// Of one thread, which adds to them; /metrics reads them.
struct GatewayCounters {
  Counters::By<gateway::Refusal, static_cast<std::size_t>(gateway::Refusal::kCount)> refused;
  Counters::By<LinkRefusal, static_cast<std::size_t>(LinkRefusal::kCount)> links_refused;
  Counters::Count links_accepted{0};
  Counters::Count links_lost{0};  // of those: ended by itself
  Counters::Count tunnels{0};     // that reached a node, or a gateway that has a link
  Counters::Count reset{0};       // of those: ended by a reset
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
  AddressShare handshake;       // until it is clear that the peer makes one with whoever answers
  gateway::Node::Use node;      // or, by a link, ...
  std::string link;             // ... <cluster>/<gateway>
  net::SocketAddress far;       // of whichever it is
  std::shared_ptr<void> spare;  // the spare's share of the limits
  std::unique_ptr<gateway::Mover> mover;
};

// What the connections of one of a gateway's data threads share. All of it belongs to that thread,
// except `counters` (atomic), `quotas` and `stock` (locked).
struct GatewayContext {
  net::Poller& poller;
  net::BufferPool& buffers;
  GatewayCounters& counters;
  Quotas& quotas;
  link::Stock& stock;  // of links that were accepted
  TaskGroup& tasks;

  std::minstd_rand random{std::random_device()()};
  GatewayWorldPtr world{};  // replaced by the control thread's posts
  std::list<GatewayTunnel> tunnels{};
  std::size_t opening = 0;  // accepted, and no tunnel yet
  std::list<std::shared_ptr<AcceptedLink>> accepted_links{};
  net::WanOptions wan{};  // of what is dialled in other clusters
  bool draining = false;
};

}  // namespace tombolo::agent
