// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "net/address.h"
#include "source/directory_records.h"

namespace tombolo::source {

// The VIPs that a cluster gives to the services that it imports.
//
// A service gets one of each family that there are ranges for, the first free one from a place
// that its name decides: the same in every run. What is assigned stays, also while nobody exports
// the service: for kVipKept from when that was seen first, so that a client that has looked it up
// does not reach another service. When a range leaves the configuration, so do its VIPs.
struct VipAssignment {
  using Name = std::pair<std::string, std::string>;  // namespace, name
  using Records = absl::btree_map<Name, VipsRecord>;
  static constexpr std::int64_t kVipKept = 7 * 24 * 3600;  // seconds

  std::vector<net::Prefix> ranges;
  absl::flat_hash_set<net::IpAddress> taken;  // VIPs of the file

  struct Result {
    Records records;            // what shall be
    std::vector<Name> no_room;  // for these there is no address left in a range
  };
  // `now` in seconds of the epoch. Pure.
  Result Assign(const Records& assigned, const std::set<Name>& imported, std::int64_t now) const;
};

}  // namespace tombolo::source
