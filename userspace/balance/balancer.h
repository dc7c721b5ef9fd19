// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "balance/attempt.h"
#include "balance/choice.h"
#include "balance/explanation.h"
#include "balance/plan.h"
#include "balance/ways.h"
#include "base/time.h"
#include "mesh/snapshot.h"
#include "net/address.h"

namespace tombolo::balance {

// What a status page shows of one endpoint, or of the way to a node or gateway.
struct EndpointView {
  std::uint32_t in_flight = 0;
  bool ejected = false;    // until a trial succeeds
  Duration ejected_for{};  // what is left before a trial; zero: in use, or on trial
  double warmth = 1;       // the part of its share that it gets: below 1, it starts slowly
  std::optional<Duration> connect_latency;
};

struct ClusterView {
  bool ejected = false;  // by itself: that all its gateways are is seen with those
  Duration ejected_for{};
  std::optional<Duration> round_trip;  // smoothed
};

// Chooses where a connection goes: the tier, the cluster, the endpoint and the gateway
// (mesh::LoadBalancing says how), and remembers how earlier connections fared.
//
// Health has three layers, each with failures of its own: the endpoint of a service port; the way
// to a node or a gateway, and a cluster, which are shared by all services. A cluster is ejected
// when several ways to it have failed in a row without a success in between, or all its gateways
// are. At most half of a tier's clusters, ways and endpoints, and of a cluster's gateways, count
// as ejected; but a tier of which nothing is left gives way to the others. What was ejected comes
// back by one trial at a time, and slowly.
//
// What it knows survives a change of snapshot: it is kept by the names and addresses of things.
// Owned by one data-plane thread: no locks, every call on that thread. Threads do not tell each
// other what they have learnt: what is ejected costs each of them kFailuresToEject failures, of
// which the connections see nothing but the time, and a thread with few connections meets
// few failures. Attempts may outlive it.
class Balancer {
 public:
  using Attempt = balance::Attempt;

  // `random` gives 64 uniform bits; tests pass a seeded one.
  Balancer(Place own, std::function<std::uint64_t()> random);
  Balancer(const Balancer&) = delete;
  Balancer& operator=(const Balancer&) = delete;

  // What is chosen from, from now on. What becomes ready by it starts slowly.
  void SetSnapshot(mesh::SnapshotPtr snapshot, MonotonicTime now);

  // Where to go next; none when nothing is left that is ready. The first attempt is drawn by the
  // tiers' shares; another one (with `tried`) goes to the best of what is left. Costs a few
  // draws; with affinity, or another attempt, a look at each endpoint of the port. `wanted` may
  // be of an older snapshot, which costs more.
  std::optional<Choice> Pick(const Wanted& wanted, absl::Span<const Tried> tried,
                             MonotonicTime now);

  // Begins an attempt at what Pick() has chosen.
  Attempt Begin(const Wanted& wanted, const Choice& choice, MonotonicTime now);

  // What Pick() would choose now, and why; up to `most` attempts of one connection. The same draws
  // by the same rules, and nothing begins: neither load nor a trial.
  Explanation Explain(const Wanted& wanted, std::size_t most, MonotonicTime now);

  // What follows is about the way to the node or gateway at `way` of a cluster.
  // A packet's time there and back was measured: orders clusters by latency.
  void OnRoundTrip(absl::string_view cluster, Duration round_trip, MonotonicTime now) {
    ways_.OnRoundTrip(cluster, round_trip, now);
  }
  // A tunnel that goes there has not answered for so long that it is dead: ejects it at once.
  void ObserveWayDead(absl::string_view cluster, const net::SocketAddress& way, MonotonicTime now) {
    ways_.OnDead(cluster, way, now);
  }
  // It has answered: what it was ejected for because it did not is over.
  void ObserveWayAlive(absl::string_view cluster, const net::SocketAddress& way,
                       MonotonicTime now) {
    ways_.OnAlive(cluster, way, now);
  }

  EndpointView View(absl::string_view service, std::uint16_t port, const mesh::Endpoint& endpoint,
                    MonotonicTime now) const;
  EndpointView ViewWay(absl::string_view cluster, const net::SocketAddress& way,
                       MonotonicTime now) const;
  ClusterView ViewCluster(absl::string_view cluster, MonotonicTime now) const;
  std::size_t size() const;  // endpoints remembered

 private:
  const Plan& PlanOf(const Wanted& wanted, MonotonicTime now);
  Memory MemoryOf(const Wanted& wanted) const;
  bool IsCurrent(const Plan& plan, MonotonicTime now) const;

  const Place own_;
  const std::function<std::uint64_t()> random_;
  mesh::SnapshotPtr snapshot_;
  Ways ways_;
  absl::flat_hash_map<std::string, absl::flat_hash_map<std::uint16_t, Memory>> memory_;
  // Of the ports of `snapshot_` that have been asked for, which outlive them.
  absl::flat_hash_map<const mesh::ServicePort*, std::unique_ptr<Plan>> plans_;
  std::unique_ptr<Plan> older_;  // of the last request that was of another snapshot
};

}  // namespace tombolo::balance
