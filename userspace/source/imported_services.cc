// SPDX-License-Identifier: Apache-2.0
#include "source/imported_services.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tombolo::source {
namespace {

using Kind = DirectoryKey::Kind;

// The first identity that does not begin as the cluster's own do, or null.
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

// Null: of a file's service that does not have this port.
mesh::ServicePort* PlaceOf(std::uint16_t number, bool of_file, mesh::Service& service) {
  for (mesh::ServicePort& port : service.ports) {
    if (port.port == number) return &port;
  }
  return of_file ? nullptr : &service.ports.emplace_back(mesh::ServicePort{.port = number});
}

void Close(mesh::Endpoint& endpoint) {
  endpoint.ready = false;
  endpoint.ready_members = 0;
  endpoint.weight = 0;
}

}  // namespace

ImportedServices::ImportedServices(std::shared_ptr<const mesh::Snapshot> file)
    : file_(std::move(file)) {
  for (const mesh::AllowRule& rule : file_->allow) ruled_.insert(rule.service);
  for (std::size_t i = 0; i < file_->services.size(); ++i) {
    ServicePtr service = file_->services.pointer(i);
    auto item = std::make_unique<Item>(
        Item{.name = {service->ns, service->name}, .of_file = service, .listed = true});
    of_file_.push_back(item.get());
    Mark(*item);
    items_.try_emplace({item->name.first, item->name.second}, std::move(item));
  }
}

void ImportedServices::Mark(Item& item) {
  if (!item.dirty) dirty_.push_back(&item);
  item.dirty = true;
}

ImportedServices::Exporter& ImportedServices::ExporterOf(const std::string& cluster) {
  return exporters_.try_emplace(cluster, Exporter{.name = cluster}).first->second;
}

ImportedServices::Item* ImportedServices::Find(const ServiceName& name, bool make) {
  const auto found = items_.find(NamePair(name.first, name.second));
  if (found != items_.end()) return found->second.get();
  if (!make || !ruled_.contains(absl::StrCat(name.first, "/", name.second))) return nullptr;
  auto item = std::make_unique<Item>(Item{.name = name});
  const NamePair key(item->name.first, item->name.second);
  return items_.try_emplace(key, std::move(item)).first->second.get();
}

const ImportedServices::Grant& ImportedServices::GrantOf(const std::string& cluster,
                                                         const std::string& ns) {
  if (grant_.cluster != cluster || grant_.ns != ns) {
    grant_ = {.cluster = cluster,
              .ns = ns,
              .given = shared_->MayServe(cluster, ns),
              .own_beginning = absl::StrCat("spiffe://", file_->trust_domain, "/cluster/", cluster,
                                            "/ns/", ns, "/sa/")};
  }
  return grant_;
}

std::optional<RefusalReason> ImportedServices::WhyNot(const Exporter& exporter,
                                                      const ServiceName& name,
                                                      const ServiceRecord& record) {
  const Grant& grant = GrantOf(exporter.name, name.first);
  if (!grant.given) return RefusalReason::kNamespace;
  if (Foreign(record, grant.own_beginning) != nullptr) return RefusalReason::kIdentity;
  return std::nullopt;
}

void ImportedServices::Judge(Exporter& exporter, const ServiceName& name,
                             const ServiceRecord* record) {
  const bool looked_at = record != nullptr && exporter.counts;
  const auto why_not = looked_at ? WhyNot(exporter, name, *record) : std::nullopt;
  const bool counts = looked_at && !why_not;
  if (why_not) {
    exporter.refused.insert_or_assign(name, *why_not);
    exporter.stale = true;
  } else if (exporter.refused.erase(name) != 0) {
    exporter.stale = true;
  }
  Item* item = Find(name, /*make=*/counts);
  if (item == nullptr) return;
  const auto place = std::ranges::lower_bound(
      item->exporters, exporter.name, {},
      [](const Exporter* other) -> const std::string& { return other->name; });
  const bool there = place != item->exporters.end() && *place == &exporter;
  if (there && !counts) item->exporters.erase(place);
  if (!there && counts) item->exporters.insert(place, &exporter);
  if (there || counts) Mark(*item);
}

void ImportedServices::JudgeAll(Exporter& exporter) {
  const auto member = shared_->members().find(exporter.name);
  if (member == shared_->members().end()) return;
  for (const auto& [name, record] : member->second.services) Judge(exporter, name, &record);
}

void ImportedServices::JudgeNamespace(Exporter& exporter, const std::string& ns) {
  const auto member = shared_->members().find(exporter.name);
  if (member == shared_->members().end()) return;
  const auto& services = member->second.services;
  for (auto at = services.lower_bound({ns, ""}); at != services.end(); ++at) {
    if (at->first.first != ns) return;
    Judge(exporter, at->first, &at->second);
  }
}

void ImportedServices::MarkExported(const Exporter& exporter) {
  const auto member = shared_->members().find(exporter.name);
  if (member == shared_->members().end()) return;
  for (const auto& [name, record] : member->second.services) {
    Item* item = Find(name, /*make=*/false);
    if (item != nullptr) Mark(*item);
  }
}

void ImportedServices::SetFileWays() {
  std::vector<bool> ways;
  for (const mesh::Cluster& cluster : file_->clusters) {
    ways.push_back(!frame_->FindCluster(cluster.name)->ways.empty());
  }
  if (std::exchange(file_ways_, ways) == ways) return;
  for (Item* item : of_file_) Mark(*item);
}

void ImportedServices::SetFrame(const mesh::SnapshotPtr& frame, bool new_members) {
  if (frame_ == frame && !new_members) return;
  frame_ = frame;
  SetFileWays();
  for (const auto& [name, member] : shared_->members()) {
    if (name != shared_->own()) ExporterOf(name);
  }
  for (auto& [name, exporter] : exporters_) {
    const mesh::Cluster* cluster = frame->FindCluster(name);
    const bool counts = cluster != nullptr && file_->FindCluster(name) == nullptr;
    const bool has_way = counts && !cluster->ways.empty();
    const bool judge = std::exchange(exporter.counts, counts) != counts;
    const bool mark = std::exchange(exporter.has_way, has_way) != has_way;
    if (judge) {
      JudgeAll(exporter);
    } else if (mark) {
      MarkExported(exporter);
    }
  }
}

void ImportedServices::JudgeChanged(const SharedDirectory::Changed& changed) {
  for (const auto& [cluster, names] : changed.services) {
    const auto known = exporters_.find(cluster);
    if (known == exporters_.end()) continue;  // the own one's; or it came and went meanwhile
    const auto member = shared_->members().find(cluster);
    for (const ServiceName& name : names) {
      const ServiceRecord* record = nullptr;
      if (member != shared_->members().end()) {
        const auto found = member->second.services.find(name);
        if (found != member->second.services.end()) record = &found->second;
      }
      Judge(known->second, name, record);
    }
  }
  for (const std::string& ns : changed.namespaces) {
    for (auto& [name, exporter] : exporters_) JudgeNamespace(exporter, ns);
  }
}

void ImportedServices::Update(const mesh::SnapshotPtr& frame, const SharedDirectory& shared,
                              const SharedDirectory::Changed& changed) {
  shared_ = &shared;
  grant_ = {};
  const bool first = frame_ == nullptr;
  SetFrame(frame, changed.clusters);
  if (!first) JudgeChanged(changed);
  const bool others = List();
  if (first || others || changed.vips) AssignVips();
  for (Item* item : std::exchange(dirty_, {})) PutTogether(*item);
  for (auto& [name, exporter] : exporters_) {
    if (exporter.stale) RefreshRefusals(exporter);
  }
  std::erase_if(exporters_,
                [&](const auto& exporter) { return !shared.members().contains(exporter.first); });
  shared_ = nullptr;
}

bool ImportedServices::List() {
  std::vector<Item*> added;
  bool fewer = false;
  for (Item* item : dirty_) {
    const bool wanted = item->of_file != nullptr || !item->exporters.empty();
    if (wanted && !item->listed) added.push_back(item);
    fewer = fewer || (!wanted && item->listed);
    item->listed = wanted;
  }
  const auto unlisted = [](const Item* item) { return !item->listed; };
  if (fewer) std::erase_if(imported_, unlisted);
  std::vector<Item*> gone;
  std::ranges::copy_if(dirty_, std::back_inserter(gone), unlisted);
  std::erase_if(dirty_, unlisted);
  for (const Item* item : gone) items_.erase(NamePair(item->name.first, item->name.second));
  if (added.empty()) return fewer;
  const auto by_name = [](const Item* a, const Item* b) { return a->name < b->name; };
  std::ranges::sort(added, by_name);
  const auto middle = static_cast<std::ptrdiff_t>(imported_.size());
  imported_.insert(imported_.end(), added.begin(), added.end());
  std::inplace_merge(imported_.begin(), imported_.begin() + middle, imported_.end(), by_name);
  return true;
}

std::vector<net::IpAddress> ImportedServices::UsableVips(
    const ServiceName& name, const VipsRecord& record, absl::flat_hash_set<net::IpAddress>& taken) {
  std::vector<net::IpAddress> usable;
  const DirectoryKey key{
      .kind = Kind::kVips, .cluster = shared_->own(), .ns = name.first, .name = name.second};
  for (const net::IpAddress& vip : record.vips) {
    const auto holds = [&](const net::Prefix& range) { return range.Contains(vip); };
    const char* why = nullptr;
    if (std::ranges::none_of(frame_->imports->vips, holds)) {
      why = "is in none of the file's imports.vips";
    } else if (!taken.insert(vip).second) {
      why = "is another service's";
    }
    if (why == nullptr) {
      usable.push_back(vip);
    } else {
      vip_refusals_.Add({shared_->own(), key.Text(), RefusalReason::kVip,
                         absl::StrCat("'vips': '", vip.ToString(), "' ", why)});
    }
  }
  return usable;
}

// Anew, in the order of the names: who has an address may depend on all before.
void ImportedServices::AssignVips() {
  vip_refusals_ = {};
  absl::flat_hash_set<net::IpAddress> taken;
  for (const mesh::Service& service : file_->services) {
    taken.insert(service.vips.begin(), service.vips.end());
  }
  const auto& vips = shared_->vips();
  auto record = vips.begin();
  for (Item* item : imported_) {
    while (record != vips.end() && record->first < item->name) ++record;
    std::vector<net::IpAddress> usable;
    if (record != vips.end() && record->first == item->name) {
      usable = UsableVips(item->name, record->second, taken);
    }
    if (usable == item->vips) continue;
    item->vips = std::move(usable);
    Mark(*item);
  }
}

void ImportedServices::AddBackends(const Exporter& exporter, const ServiceRecord& record,
                                   bool of_file, mesh::Service& service) const {
  for (const ExportedPort& from : record.ports) {
    mesh::ServicePort* port = PlaceOf(from.port, of_file, service);
    if (port == nullptr) continue;
    port->endpoints.reserve(port->endpoints.size() + from.backends.size());
    for (const Backend& backend : from.backends) {
      mesh::Endpoint& endpoint = port->endpoints.emplace_back();
      endpoint.cluster = exporter.name;
      endpoint.identity = backend.identity;
      endpoint.members = backend.endpoints;
      endpoint.ready = backend.ready > 0;
      endpoint.ready_members = backend.ready;
      endpoint.weight = backend.weight;
      if (!exporter.has_way) Close(endpoint);
    }
  }
}

// What a cluster of the file serves stays listed, as what others serve: out of touch it may still
// serve what runs, and that ends by itself, or by an administrator.
void ImportedServices::CloseWhatHasNoWay(mesh::Service& service) const {
  for (mesh::ServicePort& port : service.ports) {
    for (mesh::Endpoint& endpoint : port.endpoints) {
      if (!endpoint.behind_gateways()) continue;
      if (frame_->FindCluster(endpoint.cluster)->ways.empty()) Close(endpoint);
    }
  }
}

void ImportedServices::PutTogether(Item& item) {
  item.dirty = false;
  const bool of_file = item.of_file != nullptr;
  mesh::Service service =
      of_file ? *item.of_file : mesh::Service{.ns = item.name.first, .name = item.name.second};
  if (of_file) CloseWhatHasNoWay(service);
  for (const Exporter* exporter : item.exporters) {
    const Member& member = shared_->members().find(exporter->name)->second;
    AddBackends(*exporter, member.services.find(item.name)->second, of_file, service);
  }
  if (!of_file) service.vips = item.vips;
  if (item.service != nullptr && *item.service == service) return;
  if (of_file && *item.of_file == service) {
    item.service = item.of_file;
    return;
  }
  item.service = std::make_shared<mesh::Service>(std::move(service));
}

Refusal ImportedServices::Describe(const Exporter& exporter, const ServiceName& name,
                                   RefusalReason reason) {
  const DirectoryKey key{
      .kind = Kind::kService, .cluster = exporter.name, .ns = name.first, .name = name.second};
  Refusal refusal{.cluster = exporter.name, .key = key.Text(), .reason = reason, .what = {}};
  if (reason == RefusalReason::kNamespace) {
    refusal.what =
        absl::StrCat("namespace '", name.first, "' is not granted to '", exporter.name, "'");
    return refusal;
  }
  const Grant& grant = GrantOf(exporter.name, name.first);
  const ServiceRecord& record =
      shared_->members().find(exporter.name)->second.services.find(name)->second;
  refusal.what = absl::StrCat("'identity': '", Foreign(record, grant.own_beginning)->text(),
                              "' is not below ", grant.own_beginning);
  return refusal;
}

void ImportedServices::RefreshRefusals(Exporter& exporter) {
  exporter.stale = false;
  exporter.refusals = {};
  std::map<RefusalReason, std::size_t> counts;
  for (const auto& [name, reason] : exporter.refused) {
    if (++counts[reason] <= Refusals::kTold) {
      exporter.refusals.Add(Describe(exporter, name, reason));
    }
  }
  for (const auto& [reason, count] : counts) {
    exporter.refusals.Add(exporter.name, reason, count - std::min(count, Refusals::kTold));
  }
}

void ImportedServices::AddTo(mesh::Snapshot& snapshot) const {
  snapshot.services.reserve(of_file_.size() + imported_.size());
  for (const Item* item : of_file_) snapshot.services.Share(item->service);
  for (const Item* item : imported_) snapshot.services.Share(item->service);
}

void ImportedServices::AddRefusals(Refusals& out) const {
  for (const auto& [name, exporter] : exporters_) out.Add(exporter.refusals);
  out.Add(vip_refusals_);
}

}  // namespace tombolo::source
