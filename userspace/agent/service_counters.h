// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "admin/metrics.h"
#include "agent/counters.h"
#include "base/time.h"
#include "mesh/snapshot.h"
#include "tunnel/tunnel.h"

// Connections by service and by the clusters that they go from and to. Bytes are counted by the
// relays anyway, and added when a connection has ended.
namespace tombolo::agent {

// How long something took, in buckets.
class DurationCounts {
 public:
  static constexpr std::array<double, 12> kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                     0.1,   0.25,   0.5,   1,    2.5,   5};

  void Add(Duration took);
  admin::Histogram Read() const;

 private:
  std::array<Counters::Count, kBounds.size() + 1> counts_{};
  Counters::Count microseconds_{0};
};

// Of one service, at one end, from one cluster to one. Every thread adds to it.
struct ServiceCounters {
  Counters::Count opened{0};
  Counters::Count reset{0};  // of those: ended by a reset or a truncation
  Counters::By<Refusal, static_cast<std::size_t>(Refusal::kCount)> refused;
  // Of a dialer, held against where they went; also when another one succeeded.
  Counters::Count attempts_failed{0};
  Counters::Count bytes_to_service{0};
  Counters::Count bytes_from_service{0};
  DurationCounts connect;
};
using ServiceCountersPtr = std::shared_ptr<ServiceCounters>;

struct ServicePair {
  tunnel::Role role = tunnel::Role::kDialer;
  absl::string_view from;  // clusters; "": not known, or not in the directory
  absl::string_view to;
  absl::string_view service;
};

// The counters of a node. Its lock is taken when a thread meets a pair for the first time since
// the directory has changed, and by what reads: not by every connection.
class ServiceCounterTable {
 public:
  // Of different pairs. What comes later is counted together, without names, so that neither
  // memory nor /metrics grows with what peers think of.
  static constexpr std::size_t kMaxPairs = 1000;

  ServiceCountersPtr Find(const ServicePair& pair);
  // Forgets what is of services or clusters that are not in the directory any more.
  void Keep(const mesh::Snapshot& snapshot);
  std::vector<admin::Sample> Samples() const;

 private:
  using Key = std::tuple<tunnel::Role, std::string, std::string, std::string>;

  mutable std::mutex mutex_;
  std::map<Key, ServiceCountersPtr> counters_;
};

// What one thread has found there already. Of that thread; `table` outlives it.
class KnownServiceCounters {
 public:
  explicit KnownServiceCounters(ServiceCounterTable& table) : table_(table) {}

  const ServiceCountersPtr& Of(const ServicePair& pair);
  // The directory has changed.
  void Forget() { known_.clear(); }

 private:
  using Key = std::tuple<tunnel::Role, std::string, std::string, std::string>;
  using View = std::tuple<tunnel::Role, absl::string_view, absl::string_view, absl::string_view>;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const View& view) const { return absl::HashOf(view); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const View& a, const View& b) const { return a == b; }
  };

  ServiceCounterTable& table_;
  absl::flat_hash_map<Key, ServiceCountersPtr, Hash, Equal> known_;
};

}  // namespace tombolo::agent
