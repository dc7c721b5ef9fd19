// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "agent/connection_table.h"
#include "agent/counters.h"
#include "agent/dial_slots.h"
#include "agent/local_endpoints.h"
#include "agent/quota.h"
#include "agent/service_counters.h"
#include "agent/source_addresses.h"
#include "agent/world.h"
#include "balance/balancer.h"
#include "base/task_group.h"
#include "base/time.h"
#include "datapath/datapath.h"
#include "net/async_fd.h"
#include "net/buffer_pool.h"
#include "net/namespace.h"
#include "net/wan_options.h"
#include "tls/record_settings.h"
#include "tunnel/pool.h"

namespace tombolo::agent {

// What does not change while the agent runs.
struct Settings {
  std::string cluster;
  std::string node;
  Duration idle_tunnel = std::chrono::seconds(60);
  tls::KernelTls kernel_tls;  // what it is used for
  Duration ping{};            // as tunnel::Pool::Options
  net::WanOptions wan;        // of tunnels to gateways
};

// What the connections of one data-plane thread share. All of it belongs to that
// thread, except `counters` (atomic), `quotas` (locked) and `datapath` (its two calls
// here are thread-safe).
struct Context {
  const Settings& settings;
  datapath::Datapath& datapath;
  Counters& counters;
  Quotas& quotas;
  KnownServiceCounters& services;
  net::Poller& poller;
  net::BufferPool& buffers;
  tls::RecordSettings records;
  DialSlots& dials;
  tunnel::Pool& pool;
  balance::Balancer& balancer;
  const net::NetworkNamespace& own_namespace;
  TaskGroup& tasks;

  WorldPtr world;  // replaced by the control thread's posts
  LocalEndpoints local_endpoints;
  ConnectionTable connections;
  std::set<tunnel::Tunnel*> accepted_tunnels;
  std::size_t closing = 0;     // dialed tunnels whose connection has failed
  std::size_t slow_dials = 0;  // whose connection did not wait for them
  bool draining = false;
  SourceAddresses sources{};
};

}  // namespace tombolo::agent
