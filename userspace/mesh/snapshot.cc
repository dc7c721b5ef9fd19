// SPDX-License-Identifier: Apache-2.0
#include "mesh/snapshot.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tombolo::mesh {

bool Cluster::MayServe(absl::string_view ns) const {
  if (!grants) return true;
  const auto& all = std::as_const(*grants);
  const auto grant = std::ranges::lower_bound(
      all, ns, {}, [](const NamespaceGrant& g) -> absl::string_view { return g.ns; });
  return grant != all.end() && grant->ns == ns && std::ranges::binary_search(grant->clusters, name);
}

const ServicePort* Service::FindPort(std::uint16_t wanted) const {
  for (const ServicePort& candidate : ports) {
    if (candidate.port == wanted) return &candidate;
  }
  return nullptr;
}

std::string Endpoint::Where() const {
  return behind_gateways() ? absl::StrCat("cluster ", cluster) : address.ToString();
}

bool AllowRule::Matches(const SpiffeId& client) const {
  if (client.empty()) return false;
  const absl::string_view id = client.text();
  const absl::string_view pattern = from;
  if (!absl::EndsWith(pattern, "/*")) return id == pattern;
  // The '/' stays part of the prefix: ".../ns/shop/*" must not take
  // ".../ns/shopping/...".
  const absl::string_view prefix = pattern.substr(0, pattern.size() - 1);
  return id.size() > prefix.size() && absl::StartsWith(id, prefix);
}

bool Snapshot::SaysTheSame(const Snapshot& other) const {
  return trust_domain == other.trust_domain && clusters == other.clusters &&
         workloads == other.workloads && services == other.services && allow == other.allow &&
         imports == other.imports;
}

const Cluster* Snapshot::FindCluster(absl::string_view name) const {
  if (clusters_ == nullptr) return nullptr;
  const auto found = clusters_->clusters.find(name);
  return found == clusters_->clusters.end() ? nullptr : found->second;
}

const Node* Snapshot::FindNode(absl::string_view cluster, absl::string_view node) const {
  if (clusters_ == nullptr) return nullptr;
  const auto found = clusters_->nodes.find(NamePair(cluster, node));
  return found == clusters_->nodes.end() ? nullptr : found->second;
}

std::set<SpiffeId> Snapshot::IdentitiesOn(absl::string_view cluster, absl::string_view node) const {
  std::set<SpiffeId> ids;
  for (const Workload& workload : workloads) {
    if (workload.cluster == cluster && workload.node == node) ids.insert(workload.id);
  }
  return ids;
}

const Workload* Snapshot::FindWorkload(absl::string_view name) const {
  if (workloads_ == nullptr) return nullptr;
  const auto found = workloads_->find(name);
  return found == workloads_->end() ? nullptr : found->second;
}

const Service* Snapshot::FindService(absl::string_view full_name) const {
  if (services_ == nullptr) return nullptr;
  const auto found = services_->find(full_name);
  return found == services_->end() ? nullptr : &services[found->second];
}

ServiceRef Snapshot::FindVip(const net::SocketAddress& vip) const {
  if (vips_ == nullptr) return {};
  const auto found = vips_->find(vip);
  if (found == vips_->end()) return {};
  const Service& service = services[found->second];
  return {&service, service.FindPort(vip.port)};
}

absl::Span<const std::uint32_t> Snapshot::FindRules(absl::string_view full_name,
                                                    absl::string_view from) const {
  if (rules_ == nullptr) return {};
  const auto found = rules_->find(NamePair(full_name, from));
  if (found == rules_->end()) return {};
  return found->second;
}

}  // namespace tombolo::mesh
