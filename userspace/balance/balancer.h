// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "balance/choice.h"
#include "base/time.h"
#include "mesh/snapshot.h"
#include "net/address.h"

namespace tombolo::balance {

// What a status page shows of one endpoint.
struct EndpointView {
  std::uint32_t in_flight = 0;
  Duration ejected_for{};  // zero: in use
  std::optional<Duration> connect_latency;
};

// Chooses the endpoint that serves a connection, and remembers how earlier
// connections fared. What it knows is kept by (service, port, workload,
// address), so it survives a change of snapshot. Owned by one data-plane
// thread: no locks, every call on that thread. Attempts may outlive it.
class Balancer {
  struct State;

 public:
  static constexpr int kFailuresToEject = 5;  // in a row
  static constexpr Duration kFirstEjection = std::chrono::seconds(1);
  static constexpr Duration kLongestEjection = std::chrono::seconds(60);

  // One connection, from the first try until it has ended: counted as in flight
  // for as long as this lives. Report at most one outcome of the try.
  class Attempt {
   public:
    Attempt() = default;
    Attempt(Attempt&& other) noexcept = default;
    Attempt& operator=(Attempt&& other) noexcept;
    ~Attempt() { End(); }

    // The endpoint took the connection, `latency` after the try began.
    void OnConnected(Duration latency, MonotonicTime now);
    // After kFailuresToEject in a row it is ejected for kFirstEjection; each failure
    // after that time doubles it, up to kLongestEjection; a success forgets
    // all.
    void OnFailure(Failure what, MonotonicTime now);
    // Policy or a certificate refused the client. Says nothing about the
    // endpoint, so it never counts: a denied client must not eject it for
    // others.
    void OnRefused() {}

   private:
    friend class Balancer;
    Attempt(std::shared_ptr<State> state, MonotonicTime started);
    void End();

    std::shared_ptr<State> state_;
    MonotonicTime started_;
  };

  // `own_cluster` and `own_node` say where it looks from. `random` gives 64 uniform bits;
  // tests pass a seeded one.
  Balancer(std::string own_cluster, std::string own_node, std::function<std::uint64_t()> random)
      : own_cluster_(std::move(own_cluster)),
        own_node_(std::move(own_node)),
        random_(std::move(random)) {}
  Balancer(const Balancer&) = delete;
  Balancer& operator=(const Balancer&) = delete;

  // What is chosen from, from now on. Keeps what it knows of everything that is still there.
  void SetSnapshot(mesh::SnapshotPtr snapshot, MonotonicTime now);

  // Where to go next; none when nothing is left that is ready and not in `tried`.
  // Endpoints of the own cluster come first, then all others. Among equals: power of two
  // choices, drawn by weight, compared by in-flight connections per weight and by connect
  // latency. Ejected endpoints are used only when nothing else is left, and at most half of
  // the ready ones count as ejected: an outage of our own must not look like everybody
  // else's. `wanted` may be of an older snapshot.
  std::optional<Choice> Pick(const Wanted& wanted, absl::Span<const Tried> tried,
                             MonotonicTime now);

  // Begins an attempt at what Pick() has chosen.
  Attempt Begin(const Wanted& wanted, const Choice& choice, MonotonicTime now);

  EndpointView View(absl::string_view service, std::uint16_t port, const mesh::Endpoint& endpoint,
                    MonotonicTime now) const;
  std::size_t size() const;  // endpoints remembered

 private:
  // Workload and address; behind gateways the identity, which names its cluster.
  using EndpointKey = std::pair<std::string, net::SocketAddress>;
  // Lets a look-up compare with an Endpoint's fields without copying them.
  using EndpointKeyView = std::pair<absl::string_view, net::SocketAddress>;
  struct KeyHash {
    using is_transparent = void;
    std::size_t operator()(const EndpointKeyView& key) const;
    std::size_t operator()(const EndpointKey& key) const;
  };
  struct KeyEqual {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return a.second == b.second && a.first == b.first;
    }
  };
  using States = absl::flat_hash_map<EndpointKey, std::shared_ptr<State>, KeyHash, KeyEqual>;

  struct Candidate {
    std::size_t index = 0;
    const mesh::Endpoint* endpoint = nullptr;
    const State* state = nullptr;  // null: nothing known
  };

  // The ready endpoints of a port, by preference.
  struct Groups {
    std::vector<Candidate> local, remote, ejected;
  };

  const States* FindStates(absl::string_view service, std::uint16_t port) const;
  static const State* FindState(const States* states, const mesh::Endpoint& endpoint);
  Groups Sort(const mesh::ServicePort& port, const States* states, MonotonicTime now) const;
  std::optional<Choice> ChooseWay(const Wanted& wanted, const Candidate& candidate,
                                  absl::Span<const Tried> tried);
  static EndpointKeyView KeyOf(const mesh::Endpoint& endpoint);
  std::size_t DrawByWeight(const std::vector<Candidate>& candidates,
                           std::optional<std::size_t> except);
  const Candidate& PowerOfTwo(const std::vector<Candidate>& candidates, MonotonicTime now);

  const std::string own_cluster_;
  const std::string own_node_;
  std::function<std::uint64_t()> random_;
  absl::flat_hash_map<std::string, absl::flat_hash_map<std::uint16_t, States>> services_;
};

}  // namespace tombolo::balance
