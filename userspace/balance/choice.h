// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "mesh/snapshot.h"
#include "net/address.h"

// What is asked of a balancer, and what it answers: plain values.
namespace tombolo::balance {

// Who wants to connect to what.
struct Wanted {
  const mesh::Snapshot* snapshot = nullptr;
  mesh::ServiceRef target{};  // of that snapshot
  net::IpAddress client{};    // the application's address
};

// What it was that failed.
enum class Failure : std::uint8_t {
  kWay,       // TCP or TLS to the node or the gateway
  kEndpoint,  // what is behind a way that works: RESULT unavailable, a reset before it
};

// Where a connection is to go.
struct Choice {
  std::size_t endpoint = 0;  // of ServicePort::endpoints
  // Of Cluster::gateways of the endpoint's cluster; none: its node is dialled.
  std::optional<std::size_t> gateway{};

  friend bool operator==(const Choice&, const Choice&) = default;
};

// Where the same connection has been tried already.
struct Tried {
  Choice choice;
  Failure failure = Failure::kWay;
};

}  // namespace tombolo::balance
