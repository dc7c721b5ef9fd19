// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "balance/health.h"
#include "balance/keys.h"
#include "balance/load.h"
#include "balance/round_trip.h"
#include "base/time.h"
#include "mesh/snapshot.h"
#include "net/address.h"

namespace tombolo::balance {

// Counts what makes plans that were made before stale.
struct Changes {
  std::uint64_t health = 0;       // something was ejected or is back
  std::uint64_t round_trips = 0;  // clusters may have changed places
};

struct ClusterState {
  Health health;
  RoundTrip round_trip;
  // Of failures in a row: whose was the first, and whether others have failed, too.
  const void* failed_way = nullptr;  // only compared
  bool several_ways_failed = false;
};

// The way to a node, or to a gateway of a cluster: what is dialled. It and its cluster are
// the same for all services. Outlives Ways with the attempts that use it.
struct Way {
  std::shared_ptr<Changes> changes;
  std::shared_ptr<ClusterState> cluster;
  std::string node;  // its name; empty: a gateway
  Health health;
  Load load;
  bool silent = false;  // ejected because nothing answered there

  void OnFailure(MonotonicTime started, MonotonicTime now);
  // It has carried something there, whatever was behind it.
  void OnSuccess(MonotonicTime now);
};

// Every way and cluster that this thread has had to do with.
class Ways {
 public:
  Ways() : changes_(std::make_shared<Changes>()) {}

  const Changes& changes() const { return *changes_; }
  void OnChange() { ++changes_->health; }

  // Makes them if need be.
  std::shared_ptr<ClusterState> Cluster(absl::string_view name);
  std::shared_ptr<Way> ToNode(absl::string_view cluster, const mesh::Node& node);
  std::shared_ptr<Way> ToGateway(absl::string_view cluster, const mesh::Gateway& gateway);

  // Null: not known.
  const ClusterState* FindCluster(absl::string_view name) const;
  const Way* Find(absl::string_view cluster, const net::SocketAddress& address) const;

  // See Balancer.
  void OnRoundTrip(absl::string_view cluster, Duration round_trip, MonotonicTime now);
  void OnDead(absl::string_view cluster, const net::SocketAddress& address, MonotonicTime now);
  void OnAlive(absl::string_view cluster, const net::SocketAddress& address, MonotonicTime now);

  // Forgets what is not in `snapshot` any more.
  void Keep(const mesh::Snapshot& snapshot);
  std::size_t size() const { return ways_.size(); }

 private:
  std::shared_ptr<Way> Of(absl::string_view cluster, const net::SocketAddress& address,
                          absl::string_view node);

  std::shared_ptr<Changes> changes_;
  absl::flat_hash_map<std::string, std::shared_ptr<ClusterState>> clusters_;
  ByNameAndAddress<std::shared_ptr<Way>> ways_;  // cluster, address
};

}  // namespace tombolo::balance
