// SPDX-License-Identifier: Apache-2.0
#include "source/directory_export.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "source/vip_assignment.h"

namespace tombolo::source {
namespace {

using Kind = DirectoryKey::Kind;
using ServiceName = SharedDirectory::ServiceName;
using Limits = DirectoryLimits;

// The own cluster's endpoints behind a port, together by identity.
ExportedPort Export(const mesh::ServicePort& port, const std::string& own) {
  std::map<SpiffeId, Backend> by_identity;
  for (const mesh::Endpoint& endpoint : port.endpoints) {
    if (endpoint.cluster != own) continue;
    Backend& backend = by_identity[endpoint.identity];
    backend.endpoints = backend.identity.empty() ? 1 : backend.endpoints + 1;
    backend.identity = endpoint.identity;
    if (!endpoint.ready) continue;
    ++backend.ready;
    backend.weight += endpoint.weight;
  }
  ExportedPort exported{.port = port.port};
  for (auto& [identity, backend] : by_identity) exported.backends.push_back(std::move(backend));
  return exported;
}

// Without ports if there is nothing to export.
ServiceRecord Export(const mesh::Service& service, const std::string& own) {
  ServiceRecord record;
  for (const mesh::ServicePort& port : service.ports) {
    ExportedPort exported = Export(port, own);
    if (!exported.backends.empty()) record.ports.push_back(std::move(exported));
  }
  return record;
}

class Planner {
 public:
  Planner(const mesh::Snapshot& file, const mesh::Snapshot& seen, const SharedDirectory& shared)
      : file_(file), seen_(seen), shared_(shared), own_(shared.own()) {
    const auto found = shared.members().find(own_);
    if (found != shared.members().end()) published_ = &found->second;
  }

  Publication Run(std::int64_t now) {
    for (const DirectoryKey& key : shared_.BadOwnKeys()) {
      // A gateway's key is that gateway's, and so is the publisher's.
      if (key.kind == Kind::kService || key.kind == Kind::kVips) Delete(key);
    }
    PlanCluster();
    PlanServices();
    PlanVips(now);
    std::erase_if(out_.deletes, [&](const std::string& key) { return out_.puts.contains(key); });
    std::sort(out_.deletes.begin(), out_.deletes.end());
    return std::move(out_);
  }

 private:
  DirectoryKey Key(Kind kind, const ServiceName& name) const {
    return {.kind = kind, .cluster = own_, .ns = name.first, .name = name.second};
  }
  void Delete(const DirectoryKey& key) { out_.deletes.push_back(key.Text()); }
  void Problem(std::string text) { out_.problems.push_back(std::move(text)); }

  void PlanCluster();
  void PlanServices();
  std::map<ServiceName, ServiceRecord> Exports();
  void PlanVips(std::int64_t now);

  const mesh::Snapshot& file_;
  const mesh::Snapshot& seen_;
  const SharedDirectory& shared_;
  const std::string& own_;
  const SharedDirectory::Member* published_ = nullptr;  // null: nothing yet
  Publication out_;
};

void Planner::PlanCluster() {
  const mesh::Cluster* cluster = file_.FindCluster(own_);
  const ClusterRecord wanted{.region = cluster == nullptr ? "" : cluster->region};
  if (published_ != nullptr && published_->has_cluster && published_->cluster == wanted) return;
  out_.puts[DirectoryKey{.kind = Kind::kCluster, .cluster = own_}.Text()] = Encode(wanted);
}

std::map<ServiceName, ServiceRecord> Planner::Exports() {
  std::map<ServiceName, ServiceRecord> exports;
  ServiceSize all;
  for (const mesh::Service& service : file_.services) {
    if (!service.exported) continue;
    const std::string name = service.FullName();
    ServiceRecord record = Export(service, own_);
    if (record.ports.empty()) continue;
    const std::string key = Key(Kind::kService, {service.ns, service.name}).Text();
    if (!shared_.MayServe(own_, service.ns)) {
      Problem(absl::StrCat(name, " is not exported: no administrator has granted namespace '",
                           service.ns, "' to cluster '", own_, "'"));
    } else if (exports.size() == Limits::kServices) {
      Problem(absl::StrCat(name, " is not exported: others remember ", Limits::kServices,
                           " services of a cluster"));
    } else if (auto taken = DecodeService(key, Encode(record)); !taken.ok()) {
      Problem(absl::StrCat(name, " is not exported: ", taken.status().message()));
    } else if (const ServiceSize size = SizeOf(record);
               all.backends + size.backends > Limits::kBackends ||
               all.bytes + size.bytes > Limits::kBytes) {
      Problem(absl::StrCat(name, " is not exported: others remember ", Limits::kBackends,
                           " backends and ", Limits::kBytes, " bytes of a cluster's services"));
    } else {
      all.backends += size.backends;
      all.bytes += size.bytes;
      exports.emplace(ServiceName(service.ns, service.name), std::move(record));
    }
  }
  return exports;
}

void Planner::PlanServices() {
  const std::map<ServiceName, ServiceRecord> exports = Exports();
  for (const auto& [name, record] : exports) {
    if (published_ != nullptr) {
      const auto there = published_->services.find(name);
      if (there != published_->services.end() && there->second == record) continue;
    }
    out_.puts[Key(Kind::kService, name).Text()] = Encode(record);
  }
  if (published_ == nullptr) return;
  for (const auto& [name, record] : published_->services) {
    if (!exports.contains(name)) Delete(Key(Kind::kService, name));
  }
}

void Planner::PlanVips(std::int64_t now) {
  std::set<ServiceName> imported;
  for (const mesh::Service& service : seen_.services) {
    if (file_.FindService(service.FullName()) == nullptr) {
      imported.emplace(service.ns, service.name);
    }
  }
  VipAssignment assignment;
  if (file_.imports) assignment.ranges = file_.imports->vips;
  for (const mesh::Service& service : file_.services) {
    assignment.taken.insert(service.vips.begin(), service.vips.end());
  }
  const VipAssignment::Result result = assignment.Assign(shared_.vips(), imported, now);
  for (const auto& [ns, name] : result.no_room) {
    if (!assignment.ranges.empty()) {
      Problem(absl::StrCat(ns, "/", name, " has no VIP: no address is left in imports.vips"));
    }
  }
  for (const auto& [name, record] : result.records) {
    const auto there = shared_.vips().find(name);
    if (there != shared_.vips().end() && there->second == record) continue;
    out_.puts[Key(Kind::kVips, name).Text()] = Encode(record);
  }
  for (const auto& [name, record] : shared_.vips()) {
    if (!result.records.contains(name)) Delete(Key(Kind::kVips, name));
  }
}

}  // namespace

Publication PlanPublication(const mesh::Snapshot& file, const mesh::Snapshot& seen,
                            const SharedDirectory& shared, std::int64_t now) {
  return Planner(file, seen, shared).Run(now);
}

}  // namespace tombolo::source
