// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "agent/service_counters.h"
#include "agent/world.h"
#include "balance/choice.h"
#include "base/time.h"
#include "net/address.h"
#include "relay/relay.h"
#include "tls/handshake.h"
#include "tunnel/tunnel.h"

namespace tombolo::agent {

// What people and policy want to know of one running connection.
struct Connection {
  std::string id;  // 32 hex digits, the same at both agents
  tunnel::Role role = tunnel::Role::kDialer;
  SpiffeId source;
  net::SocketAddress source_address;
  std::string service;
  std::uint16_t port = 0;
  std::string endpoint;             // address, as chosen
  SpiffeId server;                  // the endpoint's identity
  std::optional<balance::Why> why;  // of a dialer: what led to this endpoint
  MonotonicTime opened_at = std::chrono::steady_clock::now();
  tunnel::Tunnel* tunnel = nullptr;  // null until one is open
  relay::Relay* relay = nullptr;     // null until bytes flow
  ServiceCountersPtr counters{};     // null until it is known where it goes
};

// Whether a rule still allows the connection, the server's cluster may still serve such services,
// and neither side is revoked; the error says what changed. That the service no longer lists the
// server, or is served by nobody for now, ends nothing that runs.
absl::Status StillAllowed(const World& world, const Connection& connection);

// Whether another connection like it may begin on its tunnel: it is allowed, and its service lists
// the server's identity.
bool MayCarryNew(const World& world, const Connection& connection);

// Whether either side of a tunnel is revoked: Unauthenticated.
absl::Status CheckRevoked(const World& world, const tunnel::Tunnel& tunnel);

// The running connections of one thread. An Entry is in the table while it lives.
class ConnectionTable {
 public:
  class Entry {
   public:
    Entry(ConnectionTable& table, Connection connection)
        : table_(&table), at_(table.list_.insert(table.list_.end(), std::move(connection))) {}
    Entry(Entry&& other) noexcept : table_(std::exchange(other.table_, nullptr)), at_(other.at_) {}
    Entry& operator=(Entry&&) = delete;
    ~Entry() {
      if (table_ != nullptr) table_->list_.erase(at_);
    }
    Connection* operator->() const { return &*at_; }
    Connection& operator*() const { return *at_; }

   private:
    ConnectionTable* table_;  // null: moved from
    std::list<Connection>::iterator at_;
  };

  std::list<Connection>& all() { return list_; }
  const std::list<Connection>& all() const { return list_; }

 private:
  std::list<Connection> list_;
};

}  // namespace tombolo::agent
