// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "agent/world.h"
#include "base/time.h"
#include "mesh/snapshot.h"
#include "net/address.h"
#include "net/namespace.h"

namespace tombolo::agent {

// Under which address an application is known to others. Capture sends its connection over the
// loopback of its own network namespace, so the connection's own address says nothing: it is the
// one that the namespace would have sent from. Of one thread.
class SourceAddresses {
 public:
  // The kernel is asked once in this time, for each workload and destination.
  static constexpr Duration kRemembered = std::chrono::seconds(1);
  static constexpr std::size_t kMostRemembered = 4096;

  // From where `source` would send to `to`; `local`, the connection's own, when that is no loopback
  // address (the application has bound it), or there is no route.
  net::IpAddress Of(const World& world, const mesh::Workload& source, const net::IpAddress& to,
                    const net::IpAddress& local, const net::NetworkNamespace& own,
                    MonotonicTime now);

 private:
  struct Known {
    net::IpAddress address;
    MonotonicTime until;
  };
  absl::flat_hash_map<std::pair<std::string, net::IpAddress>, Known> known_;
};

}  // namespace tombolo::agent
