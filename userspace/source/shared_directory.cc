// SPDX-License-Identifier: Apache-2.0
#include "source/shared_directory.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clipped.h"
#include "base/status_macros.h"

namespace tombolo::source {
namespace {

// Of a key that is refused, which may be any: all of each that counts is shorter.
constexpr std::size_t kToldBytes = 256;

using Kind = DirectoryKey::Kind;
using Limits = DirectoryLimits;

constexpr std::array<absl::string_view, kRefusalReasons> kReasons = {
    "malformed",       "too_much",  "not_a_member", "in_file", "no_gateway",
    "gateway_address", "namespace", "identity",     "vip"};

absl::Status TooMuch(absl::string_view of, std::size_t limit) {
  return absl::ResourceExhaustedError(
      absl::StrCat("the cluster has more ", of, " than others remember: ", limit));
}

}  // namespace

ServiceSize SizeOf(const ServiceRecord& record) {
  ServiceSize size{.backends = 0, .bytes = sizeof(record)};
  for (const ExportedPort& port : record.ports) {
    size.backends += port.backends.size();
    size.bytes += sizeof(port);
    for (const Backend& backend : port.backends) {
      size.bytes += sizeof(backend) + backend.identity.text().size();
    }
  }
  return size;
}

absl::string_view Name(RefusalReason reason) { return kReasons[static_cast<std::size_t>(reason)]; }

void Refusals::Add(Refusal refusal) {
  Group& group = groups_[{refusal.cluster, refusal.reason}];
  ++group.count;
  if (group.told.size() < kTold) group.told.push_back(std::move(refusal));
}

void Refusals::Add(std::string cluster, RefusalReason reason, std::size_t count) {
  if (count > 0) groups_[{std::move(cluster), reason}].count += count;
}

void Refusals::Add(const Refusals& others) {
  for (const auto& [of, theirs] : others.groups_) {
    Group& group = groups_[of];
    group.count += theirs.count;
    for (const Refusal& refusal : theirs.told) {
      if (group.told.size() < kTold) group.told.push_back(refusal);
    }
  }
}

bool SharedDirectory::LosesAllMembers(const Changes& changes) const {
  std::size_t lost = 0;
  for (const auto& [key, value] : changes) {
    const auto parsed = ParseDirectoryKey(key);
    if (!parsed.ok() || parsed->kind != Kind::kClusterGrant) continue;
    if (value) return false;
    lost += grants_.contains(parsed->cluster) ? 1 : 0;
  }
  return !grants_.empty() && lost == grants_.size();
}

absl::Status SharedDirectory::Apply(Changes changes, bool listed) {
  const bool held = !held_.empty();
  if (held) {
    for (auto& [key, value] : changes) held_[key] = std::move(value);
    changes = std::exchange(held_, {});
  }
  if ((listed || held) && LosesAllMembers(changes)) {
    held_ = std::move(changes);
    return absl::FailedPreconditionError(
        "etcd has no member of the directory any more: was it emptied, or is it another one? "
        "What it said before stays");
  }
  // What all of it is refused for is found out anew, and what goes makes room for what comes.
  for (const auto& [key, value] : changes) value ? Forgive(key) : Erase(key);
  for (const auto& [key, value] : changes) {
    if (value) Put(key, *value);
  }
  return absl::OkStatus();
}

SharedDirectory::Amount SharedDirectory::AmountOf(const std::string& cluster) const {
  const auto found = members_.find(cluster);
  if (found == members_.end()) return {};
  const Member& member = found->second;
  return {member.gateways.size(), member.services.size(), member.backends, member.bytes};
}

void SharedDirectory::Put(absl::string_view key, absl::string_view value) {
  const std::string cluster(WriterOf(key));
  const Amount before = AmountOf(cluster);
  Forgive(key);
  const absl::StatusOr<DirectoryKey> parsed = ParseDirectoryKey(key);
  if (!parsed.ok()) return Refuse(key, RefusalReason::kMalformed, parsed.status());
  Remove(*parsed);
  const absl::Status stored = Store(*parsed, key, value);
  if (!stored.ok()) {
    Refuse(key,
           absl::IsResourceExhausted(stored) ? RefusalReason::kTooMuch : RefusalReason::kMalformed,
           stored, !absl::StartsWith(value, kLeftOutValue));
  }
  if (!(before <= AmountOf(cluster))) NoteRoom(cluster);
}

void SharedDirectory::Erase(absl::string_view key) {
  const std::string cluster(WriterOf(key));
  const Amount before = AmountOf(cluster);
  const auto bad = bad_.find(cluster);
  const std::size_t too_much = bad == bad_.end() ? 0 : bad->second.too_much;
  if (const auto parsed = ParseDirectoryKey(key); parsed.ok()) Remove(*parsed);
  Forgive(key);
  const auto left = bad_.find(cluster);
  // So that those that are only counted are told by their names.
  const bool last = too_much == 1 && left != bad_.end() && left->second.too_much == 0;
  if (last || !(before <= AmountOf(cluster))) NoteRoom(cluster);
}

void SharedDirectory::NoteRoom(const std::string& cluster) {
  const auto bad = bad_.find(cluster);
  if (bad == bad_.end() || !bad->second.AnyTooMuch()) return;
  with_room_.insert(cluster);
  bad->second.left_out.clear();  // all of it will be told, and counted, again
}

void SharedDirectory::Forgive(absl::string_view key) {
  const auto found = bad_.find(WriterOf(key));
  if (found == bad_.end()) return;
  Bad& bad = found->second;
  const auto remembered = bad.keys.find(Clipped(key, kToldBytes));
  if (remembered != bad.keys.end()) {
    if (remembered->second.refusal.reason == RefusalReason::kTooMuch) --bad.too_much;
    bad.keys.erase(remembered);
  }
  if (bad.keys.empty() && !bad.AnyTooMuch()) bad_.erase(found);
}

void SharedDirectory::Refuse(absl::string_view key, RefusalReason reason, const absl::Status& why,
                             bool known) {
  const std::string cluster(WriterOf(key));
  Bad& bad = bad_[cluster];
  if (bad.keys.size() == kMaxBad) {
    ++bad.left_out[reason];
    return;
  }
  std::string told = Clipped(key, kToldBytes);
  Refusal refusal{cluster, told, reason, Clipped(why.message(), 2 * kToldBytes)};
  const bool is_new = bad.keys.emplace(std::move(told), BadKey{std::move(refusal), known}).second;
  if (is_new && reason == RefusalReason::kTooMuch) ++bad.too_much;
}

void SharedDirectory::RemoveService(Member& member, const ServiceName& name) {
  const auto found = member.services.find(name);
  if (found == member.services.end()) return;
  const ServiceSize size = SizeOf(found->second);
  member.backends -= size.backends;
  member.bytes -= size.bytes;
  member.services.erase(found);
}

void SharedDirectory::Note(const DirectoryKey& key) {
  changed_.own = changed_.own || key.cluster == own_;
  switch (key.kind) {
    case Kind::kClusterGrant:
    case Kind::kCluster:
    case Kind::kGateway:
      changed_.clusters = true;
      break;
    case Kind::kNamespaceGrant:
      changed_.namespaces.insert(key.ns);
      break;
    case Kind::kService:
      changed_.services[key.cluster].emplace(key.ns, key.name);
      break;
    case Kind::kVips:
      changed_.vips = changed_.vips || key.cluster == own_;
      break;
    case Kind::kPublisher:
      break;
  }
}

SharedDirectory::Member& SharedDirectory::MemberOf(const std::string& cluster) {
  const auto [member, is_new] = members_.try_emplace(cluster);
  changed_.clusters = changed_.clusters || is_new;
  return member->second;
}

void SharedDirectory::Remove(const DirectoryKey& key) {
  Note(key);
  if (key.kind == Kind::kClusterGrant) grants_.erase(key.cluster);
  if (key.kind == Kind::kNamespaceGrant) namespaces_.erase(key.ns);
  if (key.cluster == own_ && key.kind == Kind::kVips) vips_.erase({key.ns, key.name});
  if (key.cluster == own_ && key.kind == Kind::kPublisher) publisher_.clear();
  const auto found = members_.find(key.cluster);
  if (found == members_.end()) return;
  Member& member = found->second;
  if (key.kind == Kind::kCluster) {
    member.cluster = {};
    member.has_cluster = false;
  }
  if (key.kind == Kind::kGateway) member.gateways.erase(key.name);
  if (key.kind == Kind::kService) RemoveService(member, {key.ns, key.name});
  if (!member.has_cluster && member.gateways.empty() && member.services.empty()) {
    members_.erase(found);
    changed_.clusters = true;
  }
}

absl::Status SharedDirectory::StoreGateway(const DirectoryKey& key, GatewayRecord record) {
  const auto member = members_.find(key.cluster);
  if (member != members_.end() && member->second.gateways.size() >= Limits::kGateways) {
    return TooMuch("gateways", Limits::kGateways);
  }
  MemberOf(key.cluster).gateways.emplace(key.name, std::move(record));
  return absl::OkStatus();
}

absl::Status SharedDirectory::StoreService(const DirectoryKey& key, ServiceRecord record) {
  const ServiceSize size = SizeOf(record);
  if (const auto found = members_.find(key.cluster); found != members_.end()) {
    const Member& member = found->second;
    if (member.services.size() >= Limits::kServices) return TooMuch("services", Limits::kServices);
    if (member.backends + size.backends > Limits::kBackends) {
      return TooMuch("backends of services", Limits::kBackends);
    }
    if (member.bytes + size.bytes > Limits::kBytes) {
      return TooMuch("bytes of services", Limits::kBytes);
    }
  }
  Member& member = MemberOf(key.cluster);
  member.backends += size.backends;
  member.bytes += size.bytes;
  member.services.emplace(ServiceName(key.ns, key.name), std::move(record));
  return absl::OkStatus();
}

absl::Status SharedDirectory::Store(const DirectoryKey& key, absl::string_view text,
                                    absl::string_view value) {
  switch (key.kind) {
    case Kind::kClusterGrant: {
      ASSIGN_OR_RETURN(grants_[key.cluster], DecodeClusterGrant(text, value));
      return absl::OkStatus();
    }
    case Kind::kNamespaceGrant: {
      ASSIGN_OR_RETURN(NamespaceGrant grant, DecodeNamespaceGrant(text, value));
      std::sort(grant.clusters.begin(), grant.clusters.end());
      namespaces_[key.ns] = std::move(grant.clusters);
      return absl::OkStatus();
    }
    case Kind::kCluster: {
      ASSIGN_OR_RETURN(ClusterRecord record, DecodeCluster(text, value));
      Member& member = MemberOf(key.cluster);
      member.cluster = std::move(record);
      member.has_cluster = true;
      return absl::OkStatus();
    }
    case Kind::kGateway: {
      ASSIGN_OR_RETURN(GatewayRecord record, DecodeGateway(text, value));
      return StoreGateway(key, std::move(record));
    }
    case Kind::kService: {
      ASSIGN_OR_RETURN(ServiceRecord record, DecodeService(text, value));
      return StoreService(key, std::move(record));
    }
    case Kind::kVips: {
      if (key.cluster != own_) return absl::OkStatus();
      ASSIGN_OR_RETURN(VipsRecord record, DecodeVips(text, value));
      vips_[{key.ns, key.name}] = std::move(record);
      return absl::OkStatus();
    }
    case Kind::kPublisher: {
      if (key.cluster != own_) return absl::OkStatus();
      ASSIGN_OR_RETURN(PublisherRecord record, DecodePublisher(text, value));
      publisher_ = std::move(record.gateway);
      return absl::OkStatus();
    }
  }
  return absl::InternalError("a key of an unknown kind");
}

bool SharedDirectory::MayServe(absl::string_view cluster, absl::string_view ns) const {
  const auto found = namespaces_.find(ns);
  return found != namespaces_.end() && std::ranges::binary_search(found->second, cluster);
}

void SharedDirectory::AddRefusals(Refusals& out) const {
  for (const auto& [cluster, bad] : bad_) {
    for (const auto& [key, each] : bad.keys) out.Add(each.refusal);
    // At least so many: those that are gone meanwhile are not known.
    for (const auto& [reason, count] : bad.left_out) out.Add(cluster, reason, count);
  }
}

std::vector<DirectoryKey> SharedDirectory::BadOwnKeys() const {
  std::vector<DirectoryKey> keys;
  const auto found = bad_.find(own_);
  if (found == bad_.end()) return keys;
  for (const auto& [key, bad] : found->second.keys) {
    if (!bad.known) continue;
    if (auto parsed = ParseDirectoryKey(key); parsed.ok()) keys.push_back(*std::move(parsed));
  }
  return keys;
}

void SharedDirectory::ForEach(
    const std::function<void(const std::string& key, std::string value)>& each) const {
  const auto put = [&](DirectoryKey key, std::string value) { each(key.Text(), std::move(value)); };
  for (const auto& [name, grant] : grants_) {
    put({.kind = Kind::kClusterGrant, .cluster = name}, Encode(grant));
  }
  for (const auto& [ns, clusters] : namespaces_) {
    put({.kind = Kind::kNamespaceGrant, .ns = ns},
        Encode(NamespaceGrant{{clusters.begin(), clusters.end()}}));
  }
  for (const auto& [cluster, member] : members_) {
    if (member.has_cluster)
      put({.kind = Kind::kCluster, .cluster = cluster}, Encode(member.cluster));
    for (const auto& [name, gateway] : member.gateways) {
      put({.kind = Kind::kGateway, .cluster = cluster, .name = name}, Encode(gateway));
    }
    for (const auto& [name, service] : member.services) {
      put({.kind = Kind::kService, .cluster = cluster, .ns = name.first, .name = name.second},
          Encode(service));
    }
  }
  for (const auto& [name, vips] : vips_) {
    put({.kind = Kind::kVips, .cluster = own_, .ns = name.first, .name = name.second},
        Encode(vips));
  }
}

}  // namespace tombolo::source
