// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/time.h"
#include "gateway/node.h"
#include "gateway/refusal.h"
#include "mesh/snapshot.h"

namespace tombolo::gateway {

// Where tunnels of one name may go.
struct Route {
  struct Candidate {
    std::shared_ptr<Node> node;
    std::uint32_t share = 0;  // the weights of the ready endpoints there; never 0
  };
  std::string service;  // namespace/name
  std::uint16_t port = 0;
  std::vector<Candidate> candidates;  // none: no endpoint is ready
};

// What a gateway does with every name that a tunnel may have: those that one version of the
// directory gives the services of its own cluster. Built by one thread, immutable afterwards.
class Routes {
 public:
  Routes(const mesh::Snapshot& snapshot, const std::string& cluster, Nodes& nodes);

  // Exactly one is set.
  struct Found {
    const Route* route = nullptr;
    const std::string* linked = nullptr;  // the cluster, which is reached by its links to this one
    std::optional<Refusal> refusal{};
  };
  Found Find(absl::string_view server_name) const;

  std::size_t size() const { return routes_.size(); }

 private:
  std::string cluster_;
  absl::flat_hash_set<std::string> others_;
  absl::flat_hash_set<std::string> linked_;  // of those: they have gateways that link to `cluster_`
  absl::flat_hash_map<std::string, Route> routes_;  // by routing id
};

// The node for the next tunnel: the one with the fewest for its share, in `zone` (the gateway's
// own; "": anywhere) unless that is much busier than the rest. One that could not be dialled is
// avoided while there is another. The caller says how dialling it went. Not set: all of them have
// been tried.
Node::Use Choose(const Route& route, absl::Span<const Node* const> tried, absl::string_view zone,
                 MonotonicTime now, std::minstd_rand& random);

}  // namespace tombolo::gateway
