// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "net/address.h"
#include "source/directory_records.h"

namespace tombolo::source {

// Whose an address is by the prefixes that administrators gave to clusters: the longest one
// decides, and one that two clusters have gives it to neither.
class GatewayOwners {
 public:
  explicit GatewayOwners(const absl::btree_map<std::string, ClusterGrant>& grants);

  // PermissionDenied says why `cluster` may not have a gateway at `address`.
  absl::Status Check(absl::string_view cluster, const net::IpAddress& address) const;

 private:
  using Owners = absl::flat_hash_map<net::IpAddress, std::string>;  // "": several
  std::map<std::uint8_t, Owners, std::greater<>> by_length_;
};

}  // namespace tombolo::source
