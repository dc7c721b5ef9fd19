// SPDX-License-Identifier: Apache-2.0
#include "mesh/snapshot.h"

#include <limits>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::mesh {
namespace {

absl::Status Invalid(absl::string_view kind, absl::string_view name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(kind, " '", name, "' ", why));
}

// "shop/web" -> {"shop", "web"}; a text without '/' names no service.
std::pair<absl::string_view, absl::string_view> SplitName(absl::string_view full_name) {
  const std::size_t slash = full_name.find('/');
  if (slash == absl::string_view::npos) return {};
  return {full_name.substr(0, slash), full_name.substr(slash + 1)};
}

}  // namespace

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

absl::Status Snapshot::Index() {
  RETURN_IF_ERROR(IndexClusters());
  RETURN_IF_ERROR(IndexWorkloads());
  RETURN_IF_ERROR(IndexServices());
  return IndexRules();
}

absl::Status Snapshot::IndexClusters() {
  for (const Cluster& cluster : clusters) {
    if (!clusters_.try_emplace(cluster.name, &cluster).second) {
      return Invalid("cluster", cluster.name, "is there twice");
    }
    for (const Node& node : cluster.nodes) {
      if (!nodes_.try_emplace({cluster.name, node.name}, &node).second) {
        return Invalid("node", absl::StrCat(cluster.name, "/", node.name), "is there twice");
      }
    }
  }
  for (Cluster& cluster : clusters) RETURN_IF_ERROR(AddWays(cluster));
  return absl::OkStatus();
}

absl::Status Snapshot::AddWays(Cluster& cluster) const {
  cluster.ways.clear();
  absl::flat_hash_set<absl::string_view> through;
  for (const Gateway& gateway : cluster.gateways) {
    if (gateway.via.empty()) {
      cluster.ways.push_back(gateway);
      continue;
    }
    const Cluster* other = FindCluster(gateway.via);
    // What cannot be known from a file alone may yet come.
    if (other == &cluster || (other == nullptr && !imports)) {
      return Invalid("gateway", absl::StrCat(cluster.name, "/", gateway.name),
                     absl::StrCat("is reached via '", gateway.via, "', which is no other cluster"));
    }
    if (other == nullptr || !through.insert(other->name).second) continue;
    for (const Gateway& way : other->gateways) {
      if (!way.via.empty()) continue;  // a tunnel takes one link, not a chain of them
      cluster.ways.push_back(way);
      cluster.ways.back().name = absl::StrCat(other->name, "/", way.name);
      cluster.ways.back().via = other->name;
    }
  }
  return absl::OkStatus();
}

absl::Status Snapshot::IndexWorkloads() {
  workloads_.reserve(workloads.size());
  for (const Workload& workload : workloads) {
    if (!workloads_.try_emplace(workload.name, &workload).second) {
      return Invalid("workload", workload.name, "is there twice");
    }
    if (FindNode(workload.cluster, workload.node) == nullptr) {
      return Invalid(
          "workload", workload.name,
          absl::StrCat("is on an unknown node '", workload.cluster, "/", workload.node, "'"));
    }
  }
  return absl::OkStatus();
}

absl::Status Snapshot::IndexServices() {
  services_.reserve(services.size());
  for (const Service& service : services) {
    if (!services_.try_emplace({service.ns, service.name}, &service).second) {
      return Invalid("service", service.FullName(), "is there twice");
    }
    absl::flat_hash_set<std::uint16_t> numbers;
    for (const ServicePort& port : service.ports) {
      if (!numbers.insert(port.port).second) {
        return Invalid("service", service.FullName(),
                       absl::StrCat("has port ", port.port, " twice"));
      }
      RETURN_IF_ERROR(CheckEndpoints(service, port));
    }
    RETURN_IF_ERROR(IndexVips(service));
  }
  return absl::OkStatus();
}

absl::Status Snapshot::IndexVips(const Service& service) {
  for (const net::IpAddress& vip : service.vips) {
    for (const ServicePort& port : service.ports) {
      const net::SocketAddress address{vip, port.port};
      const auto [found, inserted] = vips_.try_emplace(address, ServiceRef{&service, &port});
      if (!inserted) {
        return Invalid("service", service.FullName(),
                       absl::StrCat("has the address ", address.ToString(), " of service '",
                                    found->second.service->FullName(), "'"));
      }
    }
  }
  return absl::OkStatus();
}

// A cluster vouches for nobody but its own workloads.
absl::Status Snapshot::CheckBehindGateways(const Service& service, const Endpoint& endpoint) const {
  const Cluster* cluster = FindCluster(endpoint.cluster);
  // With imports it may be one that has lost touch.
  if (cluster == nullptr || (cluster->gateways.empty() && !imports)) {
    return Invalid("service", service.FullName(),
                   absl::StrCat("has an endpoint behind the gateways of cluster '",
                                endpoint.cluster, "', which has none"));
  }
  if (endpoint.identity.trust_domain() != trust_domain ||
      !absl::StartsWith(endpoint.identity.path(), absl::StrCat("/cluster/", cluster->name, "/"))) {
    return Invalid("service", service.FullName(),
                   absl::StrCat("has an endpoint of cluster '", cluster->name,
                                "' with the identity '", endpoint.identity.text(), "'"));
  }
  return absl::OkStatus();
}

absl::Status Snapshot::CheckEndpoints(const Service& service, const ServicePort& port) const {
  for (const Endpoint& endpoint : port.endpoints) {
    if (endpoint.behind_gateways()) {
      RETURN_IF_ERROR(CheckBehindGateways(service, endpoint));
      continue;
    }
    const Workload* workload = FindWorkload(endpoint.workload);
    if (workload == nullptr) {
      return Invalid("service", service.FullName(),
                     absl::StrCat("has an endpoint of unknown workload '", endpoint.workload, "'"));
    }
    // The dialer trusts what is written here: it must be the workload's own.
    if (endpoint.identity != workload->id || endpoint.cluster != workload->cluster ||
        endpoint.node != workload->node) {
      return Invalid(
          "service", service.FullName(),
          absl::StrCat("has an endpoint that differs from its workload '", endpoint.workload, "'"));
    }
  }
  return absl::OkStatus();
}

absl::Status Snapshot::IndexRules() {
  if (allow.size() > std::numeric_limits<std::uint32_t>::max()) {
    return absl::ResourceExhaustedError("too many allow rules");
  }
  for (std::uint32_t i = 0; i < allow.size(); ++i) {
    const AllowRule& rule = allow[i];
    const Service* service = FindService(rule.service);
    if (service == nullptr && !imports) {
      return Invalid("service", rule.service, "of an allow rule is unknown");
    }
    for (const std::uint16_t port : rule.ports) {
      if (!imports && service->FindPort(port) == nullptr) {
        return Invalid("service", rule.service,
                       absl::StrCat("has no port ", port, ", which an allow rule names"));
      }
    }
    rules_[{rule.service, rule.from}].push_back(i);
  }
  return absl::OkStatus();
}

bool Snapshot::SaysTheSame(const Snapshot& other) const {
  return trust_domain == other.trust_domain && clusters == other.clusters &&
         workloads == other.workloads && services == other.services && allow == other.allow &&
         imports == other.imports;
}

const Cluster* Snapshot::FindCluster(absl::string_view name) const {
  const auto found = clusters_.find(name);
  return found == clusters_.end() ? nullptr : found->second;
}

const Node* Snapshot::FindNode(absl::string_view cluster, absl::string_view node) const {
  const auto found = nodes_.find(NamePair(cluster, node));
  return found == nodes_.end() ? nullptr : found->second;
}

std::set<SpiffeId> Snapshot::IdentitiesOn(absl::string_view cluster, absl::string_view node) const {
  std::set<SpiffeId> ids;
  for (const Workload& workload : workloads) {
    if (workload.cluster == cluster && workload.node == node) ids.insert(workload.id);
  }
  return ids;
}

const Workload* Snapshot::FindWorkload(absl::string_view name) const {
  const auto found = workloads_.find(name);
  return found == workloads_.end() ? nullptr : found->second;
}

const Service* Snapshot::FindService(absl::string_view full_name) const {
  const auto found = services_.find(SplitName(full_name));
  return found == services_.end() ? nullptr : found->second;
}

ServiceRef Snapshot::FindVip(const net::SocketAddress& vip) const {
  const auto found = vips_.find(vip);
  return found == vips_.end() ? ServiceRef{} : found->second;
}

absl::Span<const std::uint32_t> Snapshot::FindRules(absl::string_view full_name,
                                                    absl::string_view from) const {
  const auto found = rules_.find(NamePair(full_name, from));
  if (found == rules_.end()) return {};
  return found->second;
}

}  // namespace tombolo::mesh
