// SPDX-License-Identifier: Apache-2.0
#include "source/imported_clusters.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "source/gateway_owners.h"

namespace tombolo::source {
namespace {

using Kind = DirectoryKey::Kind;
using Member = SharedDirectory::Member;

class Importer {
 public:
  Importer(const mesh::Snapshot& file, const SharedDirectory& shared)
      : file_(file),
        shared_(shared),
        owners_(shared.grants()),
        clusters_(file.clusters.begin(), file.clusters.end()) {
    for (const mesh::Cluster& cluster : clusters_) {
      for (const mesh::Gateway& gateway : cluster.gateways) {
        if (gateway.via.empty()) gateways_.insert(gateway.address);
      }
    }
  }

  absl::StatusOr<ImportedClusters> Run(const mesh::SnapshotPtr& before);

 private:
  void Refuse(DirectoryKey key, RefusalReason reason, std::string what);
  void RefuseCluster(const std::string& cluster, RefusalReason reason, std::string what);
  void RefuseClusters();
  void DrainOwn();
  void AddCluster(const std::string& name, const ClusterGrant& grant);
  bool MayBeReachedVia(const std::string& cluster, const std::string& via) const;
  std::vector<mesh::Gateway> GatewaysOf(const std::string& cluster, const Member& member);
  void SetGrants(const mesh::SnapshotPtr& before);
  void TellWhatHasNoWay(const mesh::Snapshot& frame);

  const mesh::Snapshot& file_;
  const SharedDirectory& shared_;
  const GatewayOwners owners_;
  std::vector<mesh::Cluster> clusters_;
  mesh::SharedVector<mesh::NamespaceGrant> grants_;
  absl::flat_hash_set<net::SocketAddress> gateways_;
  Refusals refusals_;
};

void Importer::Refuse(DirectoryKey key, RefusalReason reason, std::string what) {
  refusals_.Add(
      {.cluster = key.cluster, .key = key.Text(), .reason = reason, .what = std::move(what)});
}

void Importer::RefuseCluster(const std::string& cluster, RefusalReason reason, std::string what) {
  refusals_.Add({cluster, ClusterKeys(cluster), reason, std::move(what)});
}

bool Importer::MayBeReachedVia(const std::string& cluster, const std::string& via) const {
  const auto grant = shared_.grants().find(cluster);
  return via != cluster && grant != shared_.grants().end() &&
         std::ranges::find(grant->second.via, via) != grant->second.via.end();
}

std::vector<mesh::Gateway> Importer::GatewaysOf(const std::string& cluster, const Member& member) {
  std::vector<mesh::Gateway> gateways;
  for (const auto& [name, gateway] : member.gateways) {
    const DirectoryKey key{.kind = Kind::kGateway, .cluster = cluster, .name = name};
    if (!gateway.via.empty()) {
      if (MayBeReachedVia(cluster, gateway.via)) {
        gateways.push_back({.name = name, .zone = gateway.zone, .via = gateway.via});
      } else {
        Refuse(key, RefusalReason::kGatewayAddress,
               absl::StrCat("'via': no administrator lets '", cluster, "' be reached via '",
                            gateway.via, "'"));
      }
    } else if (absl::Status mine = owners_.Check(cluster, gateway.address.ip); !mine.ok()) {
      Refuse(key, RefusalReason::kGatewayAddress, absl::StrCat("'address': ", mine.message()));
    } else if (!gateways_.insert(gateway.address).second) {
      Refuse(key, RefusalReason::kGatewayAddress,
             absl::StrCat("'address': '", gateway.address.ToString(),
                          "' is another gateway's already"));
    } else {
      gateways.push_back({.name = name, .address = gateway.address, .zone = gateway.zone});
    }
  }
  return gateways;
}

void Importer::SetGrants(const mesh::SnapshotPtr& before) {
  std::vector<mesh::NamespaceGrant> grants;
  grants.reserve(shared_.namespaces().size());
  for (const auto& [ns, clusters] : shared_.namespaces()) grants.push_back({ns, clusters});
  grants_ = std::move(grants);
  if (before == nullptr) return;
  for (const mesh::Cluster& cluster : before->clusters) {
    if (!cluster.grants) continue;
    if (*cluster.grants == grants_) grants_ = *cluster.grants;
    return;  // all have the same
  }
}

// One of which nothing can be read is a member all the same.
void Importer::AddCluster(const std::string& name, const ClusterGrant& grant) {
  if (file_.FindCluster(name) != nullptr) return;
  mesh::Cluster cluster{.name = name,
                        .draining = grant.draining,
                        .drain_deadline = grant.deadline,
                        .grants = grants_};
  const auto member = shared_.members().find(name);
  if (member != shared_.members().end()) {
    cluster.gateways = GatewaysOf(name, member->second);
    cluster.region = member->second.cluster.region;
  }
  clusters_.push_back(std::move(cluster));
}

void Importer::RefuseClusters() {
  for (const auto& [name, member] : shared_.members()) {
    if (name == shared_.own()) continue;
    if (!shared_.grants().contains(name)) {
      RefuseCluster(name, RefusalReason::kNotAMember,
                    absl::StrCat("no administrator has made '", name, "' a member"));
    } else if (file_.FindCluster(name) != nullptr) {
      RefuseCluster(name, RefusalReason::kInFile, "the own file describes this cluster");
    }
  }
}

void Importer::DrainOwn() {
  const auto grant = shared_.grants().find(shared_.own());
  if (grant == shared_.grants().end() || !grant->second.draining) return;
  for (mesh::Cluster& cluster : clusters_) {
    if (cluster.name != shared_.own()) continue;
    cluster.draining = true;
    cluster.drain_deadline = grant->second.deadline;
  }
}

void Importer::TellWhatHasNoWay(const mesh::Snapshot& frame) {
  for (std::size_t i = file_.clusters.size(); i < frame.clusters.size(); ++i) {
    const mesh::Cluster& cluster = frame.clusters[i];
    if (!cluster.ways.empty() || !shared_.members().contains(cluster.name)) continue;
    RefuseCluster(cluster.name, RefusalReason::kNoGateway,
                  cluster.gateways.empty()
                      ? "none of its gateways is alive and where it may be"
                      : "no gateway is alive of the clusters through which it is reached");
  }
}

absl::StatusOr<ImportedClusters> Importer::Run(const mesh::SnapshotPtr& before) {
  SetGrants(before);
  DrainOwn();
  RefuseClusters();
  for (const auto& [cluster, grant] : shared_.grants()) {
    if (cluster != shared_.own()) AddCluster(cluster, grant);
  }
  auto frame = std::make_shared<mesh::Snapshot>();
  frame->trust_domain = file_.trust_domain;
  // Also when the file has none: what others say may name what is not there yet.
  frame->imports = file_.imports.value_or(mesh::Imports{});
  frame->clusters = std::move(clusters_);
  frame->workloads = file_.workloads;
  frame->allow = file_.allow;
  RETURN_IF_ERROR(before == nullptr ? frame->Index() : frame->IndexAfter(*before));
  TellWhatHasNoWay(*frame);
  const bool same = before != nullptr && before->SaysTheSame(*frame);
  return ImportedClusters{same ? before : std::move(frame), std::move(refusals_)};
}

}  // namespace

absl::StatusOr<ImportedClusters> ImportClusters(const mesh::Snapshot& file,
                                                const SharedDirectory& shared,
                                                const mesh::SnapshotPtr& before) {
  return Importer(file, shared).Run(before);
}

}  // namespace tombolo::source
