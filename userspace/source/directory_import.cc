// SPDX-License-Identifier: Apache-2.0
#include "source/directory_import.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "source/gateway_owners.h"

namespace tombolo::source {
namespace {

using Kind = DirectoryKey::Kind;
using Member = SharedDirectory::Member;
using ServiceName = SharedDirectory::ServiceName;

// The first identity that a service of `ns` in `cluster` may not have, or null.
const SpiffeId* Foreign(const ServiceRecord& record, absl::string_view own_beginning) {
  for (const ExportedPort& port : record.ports) {
    for (const Backend& backend : port.backends) {
      absl::string_view account = backend.identity.text();
      if (!absl::ConsumePrefix(&account, own_beginning) || account.empty() ||
          absl::StrContains(account, '/')) {
        return &backend.identity;
      }
    }
  }
  return nullptr;
}

class Importer {
 public:
  Importer(const mesh::Snapshot& file, const SharedDirectory& shared);

  absl::StatusOr<ImportedDirectory> Run();

 private:
  using NamePair = std::pair<absl::string_view, absl::string_view>;

  void Refuse(DirectoryKey key, RefusalReason reason, std::string what);
  void RefuseCluster(const std::string& cluster, RefusalReason reason, std::string what);
  // Whether what it says of services is to be looked at.
  bool AddCluster(const std::string& name, const Member& member);
  bool MayBeReachedVia(const std::string& cluster, const std::string& via) const;
  std::vector<mesh::Gateway> GatewaysOf(const std::string& cluster, const Member& member);
  // What a cluster's services of one namespace have in common.
  struct Grant {
    std::string ns{};
    bool given = false;
    std::string own_beginning{};  // of the identities there
  };
  void AddServices(const std::string& cluster, const Member& member);
  void AddService(const std::string& cluster, const Grant& grant, const ServiceName& name,
                  const ServiceRecord& record);
  // Where to add it, or null when nobody could use it.
  mesh::Service* Place(const ServiceName& name);
  // Null: of a file's service that does not have this port.
  mesh::ServicePort* PlaceOf(std::uint16_t port, mesh::Service& service) const;
  static void AddBackends(const std::string& cluster, const ExportedPort& from,
                          mesh::ServicePort& port);
  void AddVips();
  bool Usable(const ServiceName& name, const net::IpAddress& vip);
  void DrainOwn();
  // Once it is known which ways lead where.
  void CloseWhatHasNoWay();

  const mesh::Snapshot& file_;
  const SharedDirectory& shared_;
  const GatewayOwners owners_;
  ImportedDirectory out_;
  std::vector<mesh::Service>& services_;
  const std::size_t of_file_;  // that many services, at the beginning
  absl::flat_hash_map<NamePair, std::size_t> places_;
  absl::flat_hash_set<absl::string_view> ruled_;  // services that rules are about
  absl::flat_hash_set<net::SocketAddress> gateways_;
  absl::flat_hash_set<net::IpAddress> vips_;
};

Importer::Importer(const mesh::Snapshot& file, const SharedDirectory& shared)
    : file_(file),
      shared_(shared),
      owners_(shared.grants()),
      out_{std::make_shared<mesh::Snapshot>(), {}},
      services_(out_.snapshot->services),
      of_file_(file.services.size()) {
  out_.snapshot->trust_domain = file.trust_domain;
  out_.snapshot->imports = file.imports;
  out_.snapshot->clusters = file.clusters;
  out_.snapshot->workloads = file.workloads;
  out_.snapshot->services = file.services;
  out_.snapshot->allow = file.allow;
  for (const mesh::Service& service : file.services) {
    places_.try_emplace({service.ns, service.name}, places_.size());
    vips_.insert(service.vips.begin(), service.vips.end());
  }
  for (const mesh::AllowRule& rule : file.allow) ruled_.insert(rule.service);
  for (const mesh::Cluster& cluster : file.clusters) {
    for (const mesh::Gateway& gateway : cluster.gateways) {
      if (gateway.via.empty()) gateways_.insert(gateway.address);
    }
  }
}

void Importer::Refuse(DirectoryKey key, RefusalReason reason, std::string what) {
  out_.refusals.Add(
      {.cluster = key.cluster, .key = key.Text(), .reason = reason, .what = std::move(what)});
}

void Importer::RefuseCluster(const std::string& cluster, RefusalReason reason, std::string what) {
  out_.refusals.Add({cluster, ClusterKeys(cluster), reason, std::move(what)});
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

bool Importer::AddCluster(const std::string& name, const Member& member) {
  const auto grant = shared_.grants().find(name);
  if (grant == shared_.grants().end()) {
    RefuseCluster(name, RefusalReason::kNotAMember,
                  absl::StrCat("no administrator has made '", name, "' a member"));
    return false;
  }
  if (file_.FindCluster(name) != nullptr) {
    RefuseCluster(name, RefusalReason::kInFile, "the own file describes this cluster");
    return false;
  }
  out_.snapshot->clusters.push_back({.name = name,
                                     .gateways = GatewaysOf(name, member),
                                     .region = member.cluster.region,
                                     .draining = grant->second.draining,
                                     .drain_deadline = grant->second.deadline});
  return true;
}

mesh::Service* Importer::Place(const ServiceName& name) {
  const NamePair pair(name.first, name.second);
  auto place = places_.find(pair);
  if (place == places_.end()) {
    if (!ruled_.contains(absl::StrCat(name.first, "/", name.second))) return nullptr;
    place = places_.try_emplace(pair, services_.size()).first;
    services_.push_back({.ns = name.first, .name = name.second});
  }
  return &services_[place->second];
}

mesh::ServicePort* Importer::PlaceOf(std::uint16_t port, mesh::Service& service) const {
  const auto found = std::find_if(service.ports.begin(), service.ports.end(),
                                  [&](const mesh::ServicePort& p) { return p.port == port; });
  if (found != service.ports.end()) return &*found;
  if (&service < services_.data() + of_file_) return nullptr;
  return &service.ports.emplace_back(mesh::ServicePort{.port = port});
}

void Importer::AddBackends(const std::string& cluster, const ExportedPort& from,
                           mesh::ServicePort& port) {
  port.endpoints.reserve(port.endpoints.size() + from.backends.size());
  for (const Backend& backend : from.backends) {
    mesh::Endpoint& endpoint = port.endpoints.emplace_back();
    endpoint.cluster = cluster;
    endpoint.identity = backend.identity;
    endpoint.members = backend.endpoints;
    endpoint.ready = backend.ready > 0;
    endpoint.ready_members = backend.ready;
    endpoint.weight = backend.weight;
  }
}

void Importer::AddServices(const std::string& cluster, const Member& member) {
  Grant grant;
  for (const auto& [name, record] : member.services) {
    // Services are in the order of their namespaces.
    if (grant.ns != name.first) {
      grant = {.ns = name.first,
               .given = shared_.MayServe(cluster, name.first),
               .own_beginning = absl::StrCat("spiffe://", file_.trust_domain, "/cluster/", cluster,
                                             "/ns/", name.first, "/sa/")};
    }
    AddService(cluster, grant, name, record);
  }
}

void Importer::AddService(const std::string& cluster, const Grant& grant, const ServiceName& name,
                          const ServiceRecord& record) {
  const auto refuse = [&](RefusalReason reason, std::string what) {
    Refuse({.kind = Kind::kService, .cluster = cluster, .ns = name.first, .name = name.second},
           reason, std::move(what));
  };
  if (!grant.given) {
    return refuse(RefusalReason::kNamespace,
                  absl::StrCat("namespace '", name.first, "' is not granted to '", cluster, "'"));
  }
  if (const SpiffeId* foreign = Foreign(record, grant.own_beginning); foreign != nullptr) {
    return refuse(RefusalReason::kIdentity, absl::StrCat("'identity': '", foreign->text(),
                                                         "' is not below ", grant.own_beginning));
  }
  mesh::Service* service = Place(name);
  if (service == nullptr) return;
  for (const ExportedPort& from : record.ports) {
    mesh::ServicePort* port = PlaceOf(from.port, *service);
    if (port != nullptr) AddBackends(cluster, from, *port);
  }
}

bool Importer::Usable(const ServiceName& name, const net::IpAddress& vip) {
  const auto refuse = [&](absl::string_view why) {
    Refuse({.kind = Kind::kVips, .cluster = shared_.own(), .ns = name.first, .name = name.second},
           RefusalReason::kVip, absl::StrCat("'vips': '", vip.ToString(), "' ", why));
    return false;
  };
  const auto holds = [&](const net::Prefix& range) { return range.Contains(vip); };
  if (!file_.imports || std::ranges::none_of(file_.imports->vips, holds)) {
    return refuse("is in none of the file's imports.vips");
  }
  if (!vips_.insert(vip).second) return refuse("is another service's");
  return true;
}

void Importer::AddVips() {
  for (std::size_t i = of_file_; i < services_.size(); ++i) {
    mesh::Service& service = services_[i];
    const ServiceName name(service.ns, service.name);
    const auto found = shared_.vips().find(name);
    if (found == shared_.vips().end()) continue;
    for (const net::IpAddress& vip : found->second.vips) {
      if (Usable(name, vip)) service.vips.push_back(vip);
    }
  }
}

void Importer::DrainOwn() {
  const auto grant = shared_.grants().find(shared_.own());
  if (grant == shared_.grants().end() || !grant->second.draining) return;
  for (mesh::Cluster& cluster : out_.snapshot->clusters) {
    if (cluster.name != shared_.own()) continue;
    cluster.draining = true;
    cluster.drain_deadline = grant->second.deadline;
  }
}

// What it serves stays listed: out of touch with etcd it may still serve what runs, and that ends
// by itself, or by an administrator.
void Importer::CloseWhatHasNoWay() {
  const std::vector<mesh::Cluster>& clusters = out_.snapshot->clusters;
  for (std::size_t i = file_.clusters.size(); i < clusters.size(); ++i) {
    const mesh::Cluster& cluster = clusters[i];
    if (!cluster.ways.empty()) continue;
    RefuseCluster(cluster.name, RefusalReason::kNoGateway,
                  cluster.gateways.empty()
                      ? "none of its gateways is alive and where it may be"
                      : "no gateway is alive of the clusters through which it is reached");
  }
  for (mesh::Service& service : services_) {
    for (mesh::ServicePort& port : service.ports) {
      for (mesh::Endpoint& endpoint : port.endpoints) {
        if (!endpoint.behind_gateways()) continue;
        if (!out_.snapshot->FindCluster(endpoint.cluster)->ways.empty()) continue;
        endpoint.ready = false;
        endpoint.ready_members = 0;
        endpoint.weight = 0;
      }
    }
  }
}

absl::StatusOr<ImportedDirectory> Importer::Run() {
  shared_.AddRefusals(out_.refusals);
  DrainOwn();
  for (const auto& [cluster, member] : shared_.members()) {
    if (cluster != shared_.own() && AddCluster(cluster, member)) AddServices(cluster, member);
  }
  std::sort(services_.begin() + static_cast<std::ptrdiff_t>(of_file_), services_.end(),
            [](const mesh::Service& a, const mesh::Service& b) {
              return std::tie(a.ns, a.name) < std::tie(b.ns, b.name);
            });
  AddVips();
  RETURN_IF_ERROR(out_.snapshot->Index());
  CloseWhatHasNoWay();
  return std::move(out_);
}

}  // namespace

absl::StatusOr<ImportedDirectory> ImportDirectory(const mesh::Snapshot& file,
                                                  const SharedDirectory& shared) {
  return Importer(file, shared).Run();
}

}  // namespace tombolo::source
