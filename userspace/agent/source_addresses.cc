// SPDX-License-Identifier: Apache-2.0
#include "agent/source_addresses.h"

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "net/route_source.h"

namespace tombolo::agent {

net::IpAddress SourceAddresses::Of(const World& world, const mesh::Workload& source,
                                   const net::IpAddress& to, const net::IpAddress& local,
                                   const net::NetworkNamespace& own, MonotonicTime now) {
  if (!local.is_loopback()) return local;
  std::pair key(source.name, to);
  if (const auto known = known_.find(key); known != known_.end() && now < known->second.until) {
    return known->second.address;
  }
  net::IpAddress address = local;
  const auto ask = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(address, net::SourceTo(to));
    return absl::OkStatus();
  };
  const auto home = world.homes.find(source.name);
  if (home != world.homes.end() && home->second.ns != nullptr) {
    (void)home->second.ns->Run(own, ask);
  } else if (home != world.homes.end() && home->second.status.ok()) {
    (void)ask();
  }
  if (known_.size() >= kMostRemembered) known_.clear();
  known_.insert_or_assign(std::move(key), Known{address, now + kRemembered});
  return address;
}

}  // namespace tombolo::agent
