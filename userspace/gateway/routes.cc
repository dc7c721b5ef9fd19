// SPDX-License-Identifier: Apache-2.0
#include "gateway/routes.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "tunnel/routing_id.h"

namespace tombolo::gateway {
namespace {

// A node of another zone is chosen when those of the own one have so many times its tunnels, and
// so many more.
constexpr double kZoneFactor = 2;
constexpr double kZoneMore = 16;

void AddEndpoint(const mesh::Endpoint& endpoint, const mesh::Node& node, Nodes& nodes,
                 Route& route) {
  const std::uint32_t share = std::max(endpoint.weight, 1u);
  for (Route::Candidate& candidate : route.candidates) {
    if (candidate.node->name() != node.name) continue;
    candidate.share = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        std::uint64_t{candidate.share} + share, std::numeric_limits<std::uint32_t>::max()));
    return;
  }
  route.candidates.push_back({nodes.Get(node), share});
}

class Chooser {
 public:
  Chooser(const Route& route, absl::Span<const Node* const> tried, absl::string_view zone,
          std::minstd_rand& random)
      : tried_(tried), zone_(zone) {
    for (const Route::Candidate& candidate : route.candidates) {
      if (!Tried(*candidate.node)) left_.push_back(&candidate);
    }
    // So that not every gateway begins with the same one of equals.
    if (!left_.empty()) {
      std::rotate(left_.begin(), left_.begin() + random() % left_.size(), left_.end());
    }
  }

  // Null: none that need not be avoided.
  const Route::Candidate* Best(MonotonicTime now) const {
    const Route::Candidate* near = nullptr;
    const Route::Candidate* far = nullptr;
    for (const Route::Candidate* candidate : left_) {
      if (candidate->node->avoided_until() > now) continue;
      const Route::Candidate*& best = IsNear(*candidate->node) ? near : far;
      if (best == nullptr || Load(*candidate) < Load(*best)) best = candidate;
    }
    if (near == nullptr || far == nullptr) return near == nullptr ? far : near;
    const double allowed = kZoneFactor * Load(*far) + kZoneMore / near->share;
    return Load(*near) <= allowed ? near : far;
  }
  // Null: none at all.
  const Route::Candidate* SoonestAgain() const {
    const auto soonest = std::min_element(left_.begin(), left_.end(), [](auto* a, auto* b) {
      return a->node->avoided_until() < b->node->avoided_until();
    });
    return soonest == left_.end() ? nullptr : *soonest;
  }

 private:
  bool Tried(const Node& node) const {
    return std::find(tried_.begin(), tried_.end(), &node) != tried_.end();
  }
  bool IsNear(const Node& node) const { return zone_.empty() || node.zone() == zone_; }
  // With the next tunnel.
  static double Load(const Route::Candidate& candidate) {
    return (candidate.node->tunnels() + 1.0) / candidate.share;
  }

  absl::Span<const Node* const> tried_;
  absl::string_view zone_;
  std::vector<const Route::Candidate*> left_;
};

}  // namespace

Routes::Routes(const mesh::Snapshot& snapshot, const std::string& cluster, Nodes& nodes)
    : cluster_(cluster) {
  for (const mesh::Cluster& other : snapshot.clusters) {
    if (other.name == cluster) continue;
    others_.insert(other.name);
    const bool links = std::ranges::any_of(
        other.gateways, [&](const mesh::Gateway& gateway) { return gateway.via == cluster; });
    if (links) linked_.insert(other.name);
  }
  for (const mesh::Service& service : snapshot.services) {
    for (const mesh::ServicePort& port : service.ports) {
      for (const mesh::Endpoint& endpoint : port.endpoints) {
        if (endpoint.cluster != cluster || endpoint.behind_gateways()) continue;
        Route& route = routes_[tunnel::RoutingId(service.FullName(), port.port, endpoint.identity)];
        route.service = service.FullName();
        route.port = port.port;
        const mesh::Node* node = snapshot.FindNode(cluster, endpoint.node);
        if (endpoint.ready && node != nullptr) AddEndpoint(endpoint, *node, nodes, route);
      }
    }
  }
}

Routes::Found Routes::Find(absl::string_view server_name) const {
  const tunnel::ServerNameParts parts = tunnel::SplitServerName(server_name);
  if (parts.cluster != cluster_) {
    const auto linked = linked_.find(parts.cluster);
    if (linked != linked_.end()) return {.linked = &*linked};
    return {.refusal =
                others_.contains(parts.cluster) ? Refusal::kOtherCluster : Refusal::kUnknownName};
  }
  const auto found = routes_.find(parts.routing_id);
  if (found == routes_.end()) return {.refusal = Refusal::kUnknownName};
  if (found->second.candidates.empty()) return {.refusal = Refusal::kNoEndpoint};
  return {.route = &found->second};
}

Node::Use Choose(const Route& route, absl::Span<const Node* const> tried, absl::string_view zone,
                 MonotonicTime now, std::minstd_rand& random) {
  const Chooser chooser(route, tried, zone, random);
  // What another connection has begun to try again just now is avoided in the next round.
  for (std::size_t round = 0; round < route.candidates.size(); ++round) {
    const Route::Candidate* best = chooser.Best(now);
    if (best == nullptr) break;
    if (best->node->Claim(now)) return Node::Use(best->node);
  }
  // Better than nothing: an avoided node may be back.
  const Route::Candidate* last = chooser.SoonestAgain();
  return last == nullptr ? Node::Use() : Node::Use(last->node);
}

}  // namespace tombolo::gateway
