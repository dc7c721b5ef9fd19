// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
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

// Why a connection goes where it goes. Cheap enough for every connection.
struct Why {
  enum class Reason : std::uint8_t {
    kPreferred,  // the first tier with anything in use
    kOverflow,   // the tiers before do not have enough in use
    kPanic,      // too little is in use anywhere: ejections do not count
    kTrial,      // whether something that was ejected works again
    kRetry,      // another attempt of the same connection
    kLastLeft,   // nothing better is left
  };
  Reason reason = Reason::kPreferred;
  bool by_source = false;         // affinity has chosen within the tier
  std::uint8_t tier = 0;          // from 0
  std::uint8_t share = 0;         // percent of new connections that the tier gets now
  std::uint8_t in_use = 0;        // percent: kOverflow, of the tier before; kPanic, of all
  absl::string_view tier_name{};  // a literal: "own cluster"

  // "tier 1 (other clusters): overflow, 40 % in use before it, takes 43 %"
  std::string ToString() const;

  friend bool operator==(const Why&, const Why&) = default;
};

// Where a connection is to go.
struct Choice {
  std::size_t endpoint = 0;  // of ServicePort::endpoints
  // Of Cluster::gateways of the endpoint's cluster; none: its node is dialled.
  std::optional<std::size_t> gateway{};
  Why why{};

  bool SamePlace(const Choice& other) const {
    return endpoint == other.endpoint && gateway == other.gateway;
  }
};

// Where the same connection has been tried already.
struct Tried {
  Choice choice;
  Failure failure = Failure::kWay;
  // It has not failed, but was not first either: it comes after all that is good.
  bool only_slow = false;
};

}  // namespace tombolo::balance
