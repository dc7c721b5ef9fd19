// SPDX-License-Identifier: Apache-2.0
#include "source/load_balancing.h"

#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "source/values.h"

namespace tombolo::source {
namespace {

using mesh::LoadBalancing;

constexpr std::uint32_t kMaxClusterWeight = 65535;

absl::StatusOr<LoadBalancing::Order> ParseOrder(absl::string_view text) {
  if (text == "local") return LoadBalancing::Order::kLocal;
  if (text == "locality") return LoadBalancing::Order::kLocality;
  if (text == "latency") return LoadBalancing::Order::kLatency;
  if (text == "none") return LoadBalancing::Order::kNone;
  return BadValue(text, "is not local, locality, latency or none");
}

absl::StatusOr<LoadBalancing::Affinity> ParseAffinity(absl::string_view text) {
  if (text == "none") return LoadBalancing::Affinity::kNone;
  if (text == "source") return LoadBalancing::Affinity::kSource;
  return BadValue(text, "is not none or source");
}

absl::StatusOr<std::uint32_t> ParsePercent(absl::string_view text) {
  return ParseNumber(text, 0, 100);
}

void ReadTiers(YamlMap& map, const LabelParser& parse_cluster, LoadBalancing& out) {
  std::set<std::string> seen;
  for (YamlMap& tier : map.Maps("tiers")) {
    std::vector<std::string> clusters;
    tier.List("clusters", clusters, parse_cluster);
    for (const std::string& cluster : clusters) {
      if (!seen.insert(cluster).second) {
        tier.Error("clusters", absl::StrCat("'", cluster, "' is in a tier already"));
      }
    }
    if (clusters.empty()) tier.Error("clusters", "has no valid cluster");
    tier.Finish();
    out.tiers.push_back(std::move(clusters));
  }
}

void ReadWeights(YamlMap& map, const LabelParser& parse_cluster, LoadBalancing& out) {
  std::set<std::string> seen;
  for (YamlMap& entry : map.Maps("cluster_weights")) {
    std::pair<std::string, std::uint32_t> weight;
    const bool named = entry.Required("cluster", weight.first, parse_cluster);
    // 0: only when no other cluster of the tier is left.
    const bool weighed = entry.Required("weight", weight.second, [](absl::string_view text) {
      return ParseNumber(text, 0, kMaxClusterWeight);
    });
    if (named && !seen.insert(weight.first).second) {
      entry.Error("cluster", absl::StrCat("'", weight.first, "' has a weight already"));
    }
    entry.Finish();
    if (named && weighed) out.cluster_weights.push_back(std::move(weight));
  }
}

}  // namespace

void ReadLoadBalancing(YamlMap map, const LabelParser& parse_cluster, LoadBalancing& out) {
  map.Optional("order", out.order, ParseOrder);
  if (map.Has("order") && map.Has("tiers")) map.Error("tiers", "cannot stand beside order");
  ReadTiers(map, parse_cluster, out);
  ReadWeights(map, parse_cluster, out);
  map.Optional("overflow_below", out.overflow_below, ParsePercent);
  map.Optional("panic_below", out.panic_below, ParsePercent);
  map.Optional("affinity", out.affinity, ParseAffinity);
  map.Finish();
}

}  // namespace tombolo::source
