// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "base/time.h"
#include "mesh/snapshot.h"
#include "net/address.h"

namespace tombolo::agent {

// Chooses which of this node's endpoints takes a connection whose dialer left that to the node,
// and remembers how earlier ones fared. Knows of the connections of one data thread, which owns
// it: no locks. Uses may outlive it.
class LocalEndpoints {
  struct State;

 public:
  static constexpr Duration kFirstAvoidance = std::chrono::seconds(1);
  static constexpr Duration kLongestAvoidance = std::chrono::seconds(30);

  // One connection at an endpoint, in flight for as long as this lives.
  class Use {
   public:
    Use() = default;
    Use(Use&& other) noexcept = default;
    Use& operator=(Use&& other) noexcept;
    ~Use() { End(); }

    void OnConnected();
    // Nobody listens there, nobody accepts, or what is accepted is reset at once. It comes last for
    // kFirstAvoidance, and for twice as long after each further failure, up to kLongestAvoidance; a
    // success forgets all. To accept is one: who accepts and resets never comes last for longer
    // than kFirstAvoidance, since clients may be who brings it to that.
    void OnFailure(MonotonicTime now);

   private:
    friend class LocalEndpoints;
    explicit Use(std::shared_ptr<State> state);
    void End();

    std::shared_ptr<State> state_;
  };

  // The one with the fewest connections for its weight; among equals, that whose last use is
  // longest ago. An index; there is at least one candidate.
  std::size_t Pick(absl::Span<const mesh::Endpoint* const> candidates, MonotonicTime now) const;

  Use Begin(const mesh::Endpoint& endpoint);

  // Forgets what is of no consequence any more, so that endpoints that come and go cost nothing.
  void Forget(MonotonicTime now);
  std::size_t size() const;  // endpoints remembered

 private:
  const State* Find(const mesh::Endpoint& endpoint) const;

  // By workload first: addresses are those of its network namespace.
  absl::flat_hash_map<std::string, absl::flat_hash_map<net::SocketAddress, std::shared_ptr<State>>>
      states_;
  std::uint64_t uses_ = 0;
};

}  // namespace tombolo::agent
