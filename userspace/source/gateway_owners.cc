// SPDX-License-Identifier: Apache-2.0
#include "source/gateway_owners.h"

#include "absl/strings/str_cat.h"

namespace tombolo::source {
namespace {

net::IpAddress FirstOf(const net::IpAddress& address, std::uint8_t length) {
  std::uint8_t bytes[16];
  for (int i = 0; i < 16; ++i) {
    const int kept = length - 8 * i;
    const int mask = kept >= 8 ? 0xff : kept <= 0 ? 0 : (0xff << (8 - kept)) & 0xff;
    bytes[i] = static_cast<std::uint8_t>(address.bytes()[i] & mask);
  }
  return net::IpAddress::FromBytes(bytes);
}

}  // namespace

GatewayOwners::GatewayOwners(const absl::btree_map<std::string, ClusterGrant>& grants) {
  for (const auto& [cluster, grant] : grants) {
    for (const net::Prefix& prefix : grant.gateways) {
      const auto [owner, is_new] = by_length_[prefix.length].try_emplace(prefix.ip, cluster);
      if (!is_new && owner->second != cluster) owner->second.clear();
    }
  }
}

absl::Status GatewayOwners::Check(absl::string_view cluster, const net::IpAddress& address) const {
  for (const auto& [length, owners] : by_length_) {
    const auto owner = owners.find(FirstOf(address, length));
    if (owner == owners.end()) continue;
    if (owner->second == cluster) return absl::OkStatus();
    const std::string prefix = net::Prefix{owner->first, length}.ToString();
    if (owner->second.empty()) {
      return absl::PermissionDeniedError(
          absl::StrCat("'", address.ToString(), "' is within ", prefix,
                       ", which administrators gave to several clusters: it is nobody's then"));
    }
    return absl::PermissionDeniedError(absl::StrCat("'", address.ToString(), "' is within ", prefix,
                                                    ", which is of cluster '", owner->second, "'"));
  }
  return absl::PermissionDeniedError(
      absl::StrCat("'", address.ToString(), "' is in none of the cluster's prefixes"));
}

}  // namespace tombolo::source
