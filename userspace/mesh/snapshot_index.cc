// SPDX-License-Identifier: Apache-2.0
// What makes a Snapshot's fields one thing: that they fit together, and where to find what.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "mesh/snapshot.h"

namespace tombolo::mesh {
namespace {

absl::Status Invalid(absl::string_view kind, absl::string_view name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(kind, " '", name, "' ", why));
}

bool SameNames(const VectorOfShared<Service>& a, const VectorOfShared<Service>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a.Shares(i, b)) continue;
    if (a[i].ns != b[i].ns || a[i].name != b[i].name) return false;
  }
  return true;
}

// Of services with the same names.
bool SameAddresses(const VectorOfShared<Service>& a, const VectorOfShared<Service>& b) {
  const auto same_port = [](const ServicePort& x, const ServicePort& y) {
    return x.port == y.port;
  };
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a.Shares(i, b)) continue;
    if (a[i].vips != b[i].vips || !std::ranges::equal(a[i].ports, b[i].ports, same_port)) {
      return false;
    }
  }
  return true;
}

}  // namespace

class Snapshot::Indexer {
 public:
  Indexer(Snapshot& snapshot, const Snapshot& before, const Snapshot& frame)
      : now_(snapshot), before_(before), frame_(frame) {}

  absl::Status Run() {
    RETURN_IF_ERROR(IndexClusters());
    RETURN_IF_ERROR(IndexWorkloads());
    RETURN_IF_ERROR(CheckServices());
    RETURN_IF_ERROR(IndexNames());
    RETURN_IF_ERROR(IndexVips());
    return IndexRules();
  }

 private:
  absl::Status IndexClusters();
  absl::Status AddWays(Cluster& cluster) const;
  absl::Status IndexWorkloads();
  bool KeepsWhatServicesNeed() const;
  absl::Status CheckServices() const;
  absl::Status CheckService(const Service& service) const;
  absl::Status CheckBehindGateways(const Service& service, const Endpoint& endpoint) const;
  absl::Status CheckEndpoints(const Service& service, const ServicePort& port) const;
  absl::Status IndexNames();
  absl::Status IndexVips();
  absl::Status CheckRules() const;
  absl::Status IndexRules();

  Snapshot& now_;
  const Snapshot& before_;  // services may be shared with it,
  const Snapshot& frame_;   // and all else with this one
};

absl::Status Snapshot::Indexer::IndexClusters() {
  const bool same_imports = now_.imports.has_value() == frame_.imports.has_value();
  if (frame_.clusters_ != nullptr && same_imports && now_.clusters.Shares(frame_.clusters)) {
    now_.clusters_ = frame_.clusters_;
    return absl::OkStatus();
  }
  for (Cluster& cluster : now_.clusters) cluster.ways.clear();  // and so nobody else's from here on
  auto index = std::make_shared<ClusterIndex>();
  for (const Cluster& cluster : std::as_const(now_.clusters)) {
    if (!index->clusters.try_emplace(cluster.name, &cluster).second) {
      return Invalid("cluster", cluster.name, "is there twice");
    }
    for (const Node& node : cluster.nodes) {
      if (!index->nodes.try_emplace({cluster.name, node.name}, &node).second) {
        return Invalid("node", absl::StrCat(cluster.name, "/", node.name), "is there twice");
      }
    }
  }
  now_.clusters_ = index;
  for (Cluster& cluster : now_.clusters) RETURN_IF_ERROR(AddWays(cluster));
  return absl::OkStatus();
}

absl::Status Snapshot::Indexer::AddWays(Cluster& cluster) const {
  absl::flat_hash_set<absl::string_view> through;
  for (const Gateway& gateway : cluster.gateways) {
    if (gateway.via.empty()) {
      cluster.ways.push_back(gateway);
      continue;
    }
    const Cluster* other = now_.FindCluster(gateway.via);
    // What cannot be known from a file alone may yet come.
    if (other == &cluster || (other == nullptr && !now_.imports)) {
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

absl::Status Snapshot::Indexer::IndexWorkloads() {
  if (frame_.workloads_ != nullptr && now_.clusters_ == frame_.clusters_ &&
      now_.workloads.Shares(frame_.workloads)) {
    now_.workloads_ = frame_.workloads_;
    return absl::OkStatus();
  }
  auto index = std::make_shared<WorkloadIndex>();
  index->reserve(now_.workloads.size());
  for (const Workload& workload : std::as_const(now_.workloads)) {
    if (!index->try_emplace(workload.name, &workload).second) {
      return Invalid("workload", workload.name, "is there twice");
    }
    if (now_.FindNode(workload.cluster, workload.node) == nullptr) {
      return Invalid(
          "workload", workload.name,
          absl::StrCat("is on an unknown node '", workload.cluster, "/", workload.node, "'"));
    }
  }
  now_.workloads_ = std::move(index);
  return absl::OkStatus();
}

// Whether a service of `before` that is still there needs no other look.
bool Snapshot::Indexer::KeepsWhatServicesNeed() const {
  if (before_.services_ == nullptr || !now_.workloads.Shares(before_.workloads) ||
      now_.trust_domain != before_.trust_domain || !now_.imports || !before_.imports) {
    return false;
  }
  return now_.clusters_ == before_.clusters_ ||
         std::ranges::all_of(before_.clusters, [&](const Cluster& cluster) {
           return now_.FindCluster(cluster.name) != nullptr;
         });
}

absl::Status Snapshot::Indexer::CheckServices() const {
  const bool keeps = KeepsWhatServicesNeed();
  const VectorOfShared<Service>&now = now_.services, &before = before_.services;
  absl::flat_hash_set<const Service*> known;
  if (keeps && now.size() != before.size()) {
    known.reserve(before.size());
    for (const Service& service : before) known.insert(&service);
  }
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (keeps && (now.Shares(i, before) || known.contains(&now[i]))) continue;
    RETURN_IF_ERROR(CheckService(now[i]));
  }
  return absl::OkStatus();
}

absl::Status Snapshot::Indexer::CheckService(const Service& service) const {
  absl::flat_hash_set<std::uint16_t> numbers;
  for (const ServicePort& port : service.ports) {
    if (!numbers.insert(port.port).second) {
      return Invalid("service", service.FullName(), absl::StrCat("has port ", port.port, " twice"));
    }
    RETURN_IF_ERROR(CheckEndpoints(service, port));
  }
  return absl::OkStatus();
}

// A cluster vouches for nobody but its own workloads.
absl::Status Snapshot::Indexer::CheckBehindGateways(const Service& service,
                                                    const Endpoint& endpoint) const {
  const Cluster* cluster = now_.FindCluster(endpoint.cluster);
  // With imports it may be one that has lost touch.
  if (cluster == nullptr || (cluster->gateways.empty() && !now_.imports)) {
    return Invalid("service", service.FullName(),
                   absl::StrCat("has an endpoint behind the gateways of cluster '",
                                endpoint.cluster, "', which has none"));
  }
  if (endpoint.identity.trust_domain() != now_.trust_domain ||
      !absl::StartsWith(endpoint.identity.path(), absl::StrCat("/cluster/", cluster->name, "/"))) {
    return Invalid("service", service.FullName(),
                   absl::StrCat("has an endpoint of cluster '", cluster->name,
                                "' with the identity '", endpoint.identity.text(), "'"));
  }
  return absl::OkStatus();
}

absl::Status Snapshot::Indexer::CheckEndpoints(const Service& service,
                                               const ServicePort& port) const {
  for (const Endpoint& endpoint : port.endpoints) {
    if (endpoint.behind_gateways()) {
      RETURN_IF_ERROR(CheckBehindGateways(service, endpoint));
      continue;
    }
    const Workload* workload = now_.FindWorkload(endpoint.workload);
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

absl::Status Snapshot::Indexer::IndexNames() {
  if (before_.services_ != nullptr && SameNames(now_.services, before_.services)) {
    now_.services_ = before_.services_;
    return absl::OkStatus();
  }
  auto index = std::make_shared<NameIndex>();
  const VectorOfShared<Service>& services = now_.services;
  index->reserve(services.size());
  for (std::uint32_t i = 0; i < services.size(); ++i) {
    std::string name = services[i].FullName();
    if (index->contains(name)) return Invalid("service", name, "is there twice");
    index->emplace(std::move(name), i);
  }
  now_.services_ = std::move(index);
  return absl::OkStatus();
}

absl::Status Snapshot::Indexer::IndexVips() {
  if (before_.vips_ != nullptr && now_.services_ == before_.services_ &&
      SameAddresses(now_.services, before_.services)) {
    now_.vips_ = before_.vips_;
    return absl::OkStatus();
  }
  auto index = std::make_shared<VipIndex>();
  const VectorOfShared<Service>& services = now_.services;
  for (std::uint32_t i = 0; i < services.size(); ++i) {
    for (const net::IpAddress& vip : services[i].vips) {
      for (const ServicePort& port : services[i].ports) {
        const net::SocketAddress address{vip, port.port};
        const auto [found, inserted] = index->try_emplace(address, i);
        if (inserted) continue;
        return Invalid("service", services[i].FullName(),
                       absl::StrCat("has the address ", address.ToString(), " of service '",
                                    services[found->second].FullName(), "'"));
      }
    }
  }
  now_.vips_ = std::move(index);
  return absl::OkStatus();
}

absl::Status Snapshot::Indexer::CheckRules() const {
  if (now_.allow.size() > std::numeric_limits<std::uint32_t>::max()) {
    return absl::ResourceExhaustedError("too many allow rules");
  }
  if (now_.imports) return absl::OkStatus();
  for (const AllowRule& rule : std::as_const(now_.allow)) {
    const Service* service = now_.FindService(rule.service);
    if (service == nullptr) {
      return Invalid("service", rule.service, "of an allow rule is unknown");
    }
    for (const std::uint16_t port : rule.ports) {
      if (service->FindPort(port) == nullptr) {
        return Invalid("service", rule.service,
                       absl::StrCat("has no port ", port, ", which an allow rule names"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Snapshot::Indexer::IndexRules() {
  RETURN_IF_ERROR(CheckRules());
  if (frame_.rules_ != nullptr && now_.allow.Shares(frame_.allow)) {
    now_.rules_ = frame_.rules_;
    return absl::OkStatus();
  }
  auto index = std::make_shared<RuleIndex>();
  const SharedVector<AllowRule>& allow = now_.allow;
  for (std::uint32_t i = 0; i < allow.size(); ++i) {
    (*index)[{allow[i].service, allow[i].from}].push_back(i);
  }
  now_.rules_ = std::move(index);
  return absl::OkStatus();
}

absl::Status Snapshot::IndexAfter(const Snapshot& before, const Snapshot& frame) {
  return Indexer(*this, before, frame).Run();
}

}  // namespace tombolo::mesh
