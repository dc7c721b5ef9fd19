// SPDX-License-Identifier: Apache-2.0
// tombolo cluster list, join, drain, undrain, remove
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/directory_access.h"
#include "cli/table.h"
#include "net/address.h"
#include "source/directory_records.h"
#include "source/values.h"

namespace tombolo::cli {
namespace {

using source::ClusterGrant;
using source::DirectoryKey;
using source::NamespaceGrant;
using Kind = DirectoryKey::Kind;
using Value = std::optional<std::string>;

struct ClusterOptions : DirectoryOptions {
  std::string name, credentials, deadline;
  std::vector<std::string> gateways, via;
};

DirectoryKey GrantOf(const std::string& cluster) {
  return {.kind = Kind::kClusterGrant, .cluster = cluster};
}

absl::StatusOr<std::vector<net::Prefix>> ParseGateways(const std::vector<std::string>& texts) {
  std::vector<net::Prefix> prefixes;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(prefixes.emplace_back(), net::Prefix::Parse(text));
  }
  return prefixes;
}

absl::Status CheckVia(const ClusterOptions& options) {
  if (options.gateways.empty() && options.via.empty()) {
    return absl::InvalidArgumentError("--gateways or --via has to say where its gateways may be");
  }
  for (const std::string& cluster : options.via) {
    RETURN_IF_ERROR(source::ParseLabel(cluster).status());
    if (cluster == options.name) {
      return absl::InvalidArgumentError(absl::StrCat("--via: '", cluster, "' is no other cluster"));
    }
  }
  return absl::OkStatus();
}

std::string WhereGatewaysMayBe(const ClusterOptions& options) {
  std::vector<std::string> where;
  if (!options.gateways.empty()) {
    where.push_back(absl::StrCat("in ", absl::StrJoin(options.gateways, ", ")));
  }
  if (!options.via.empty()) {
    where.push_back(absl::StrCat("linked to ", absl::StrJoin(options.via, ", ")));
  }
  return absl::StrJoin(where, ", or ");
}

bool Overlap(const net::Prefix& a, const net::Prefix& b) {
  return a.Contains(b.ip) || b.Contains(a.ip);
}

// Those that `cluster` has already change nothing for others.
std::vector<net::Prefix> NewGateways(const std::string& cluster,
                                     const std::vector<etcd::KeyValue>& grants,
                                     std::vector<net::Prefix> wanted) {
  const std::string key = GrantOf(cluster).Text();
  const auto stored = std::ranges::find(grants, key, &etcd::KeyValue::key);
  if (stored == grants.end()) return wanted;
  const auto grant = source::DecodeClusterGrant(key, stored->value);
  if (!grant.ok()) return wanted;  // it counts for nobody, and is about to be replaced
  std::erase_if(wanted, [&](const net::Prefix& prefix) {
    return std::ranges::find(grant->gateways, prefix) != grant->gateways.end();
  });
  return wanted;
}

// Addresses that two clusters have are neither's: what looks like one more cluster would take the
// gateways of another away.
absl::Status CheckOverlaps(const DirectoryAccess& access, const std::string& cluster,
                           const std::vector<net::Prefix>& gateways) {
  ASSIGN_OR_RETURN(const std::vector<etcd::KeyValue> grants,
                   access.List(absl::StrCat(source::kAdminKeys, "clusters/")));
  const std::vector<net::Prefix> added = NewGateways(cluster, grants, gateways);
  for (const etcd::KeyValue& entry : grants) {
    const auto key = source::ParseDirectoryKey(entry.key);
    if (!key.ok() || key->cluster == cluster) continue;  // what names no cluster gives it nothing
    const auto other = source::DecodeClusterGrant(entry.key, entry.value);
    if (!other.ok()) {
      return Annotate(
          other.status(),
          absl::StrCat("which ranges cluster '", key->cluster,
                       "' has cannot be read: a newer tombolo may know, else let it join again"));
    }
    for (const net::Prefix& own : added) {
      const auto taken = std::ranges::find_if(
          other->gateways, [&](const net::Prefix& prefix) { return Overlap(own, prefix); });
      if (taken == other->gateways.end()) continue;
      return absl::FailedPreconditionError(absl::StrCat("--gateways: '", own.ToString(),
                                                        "' overlaps with '", taken->ToString(),
                                                        "' of cluster '", key->cluster, "'"));
    }
  }
  return absl::OkStatus();
}

// What a record says that an agent does not know takes it away from that agent.
std::string UpgradeFirst(absl::string_view field) {
  return absl::StrCat("agents that do not know '", field,
                      "' leave the cluster out and reset its connections: upgrade them first\n");
}

// A member again keeps whether it is draining.
absl::Status PutGrant(const DirectoryAccess& access, const std::string& cluster,
                      const ClusterGrant& wanted) {
  const DirectoryKey key = GrantOf(cluster);
  return access.Replace(key, [&](const Value& before) -> absl::StatusOr<Value> {
    ClusterGrant grant = wanted;
    if (before) {
      const auto old = source::DecodeClusterGrant(key.Text(), *before);
      grant.draining = old.ok() && old->draining;
      if (grant.draining) grant.deadline = old->deadline;
    }
    return source::Encode(grant);
  });
}

absl::StatusOr<std::string> Join(const ClusterOptions& options) {
  RETURN_IF_ERROR(source::ParseLabel(options.name).status());
  ClusterGrant grant{.via = options.via};
  ASSIGN_OR_RETURN(grant.gateways, ParseGateways(options.gateways));
  RETURN_IF_ERROR(CheckVia(options));
  ASSIGN_OR_RETURN(const DirectoryAccess access, DirectoryAccess::Open(options));
  RETURN_IF_ERROR(CheckOverlaps(access, options.name, grant.gateways));
  const std::string user = UserOf(options.name);
  RETURN_IF_ERROR(
      etcd::EnsureRole(access.client(), user, {access.ReadAll(), access.WriteOf(options.name)}));
  ASSIGN_OR_RETURN(const std::string password, ReadOrMakePassword(options.credentials));
  RETURN_IF_ERROR(etcd::EnsureUser(access.client(), user, password));
  RETURN_IF_ERROR(etcd::SetPassword(access.client(), user, password));
  RETURN_IF_ERROR(etcd::EnsureRoleOf(access.client(), user, user));
  RETURN_IF_ERROR(PutGrant(access, options.name, grant));
  return absl::StrCat("cluster ", options.name, " is a member; its gateways may be ",
                      WhereGatewaysMayBe(options), "\nits agents are the user ", user,
                      ", with the password in ", options.credentials,
                      "\nit may serve no namespace yet: tombolo namespace grant\n",
                      options.via.empty() ? "" : UpgradeFirst("via"));
}

// A moment that all agents know, each by its own clock.
absl::StatusOr<std::optional<WallTime>> DeadlineOf(const ClusterOptions& options) {
  if (options.deadline.empty()) return std::nullopt;
  const auto from_now = source::ParseDeadline(options.deadline);
  if (!from_now.ok()) return Annotate(from_now.status(), "--deadline");
  const auto deadline = std::chrono::system_clock::now() + *from_now;
  return std::chrono::ceil<std::chrono::seconds>(deadline);
}

absl::StatusOr<std::string> SetDraining(const ClusterOptions& options, bool draining) {
  RETURN_IF_ERROR(source::ParseLabel(options.name).status());
  std::optional<WallTime> deadline;
  if (draining) {
    ASSIGN_OR_RETURN(deadline, DeadlineOf(options));
  }
  ASSIGN_OR_RETURN(const DirectoryAccess access, DirectoryAccess::Open(options));
  const DirectoryKey key = GrantOf(options.name);
  RETURN_IF_ERROR(access.Replace(key, [&](const Value& before) -> absl::StatusOr<Value> {
    if (!before) return absl::NotFoundError(absl::StrCat("no cluster '", options.name, "'"));
    ASSIGN_OR_RETURN(ClusterGrant grant, source::DecodeClusterGrant(key.Text(), *before));
    grant.draining = draining;
    grant.deadline = deadline;
    return source::Encode(grant);
  }));
  if (!draining) return absl::StrCat("cluster ", options.name, " takes part again\n");
  std::string said = absl::StrCat("cluster ", options.name, " is draining\n");
  if (deadline) {
    absl::StrAppend(&said, "connections that still go there at ", source::FormatTime(*deadline),
                    " are ended\n", UpgradeFirst("deadline"));
  }
  return said;
}

// Whoever joins under the same name later must not find what this one was granted.
absl::Status RevokeNamespaces(const DirectoryAccess& access, const std::string& cluster) {
  ASSIGN_OR_RETURN(const std::vector<etcd::KeyValue> entries,
                   access.List(absl::StrCat(source::kAdminKeys, "namespaces/")));
  for (const etcd::KeyValue& entry : entries) {
    const auto key = source::ParseDirectoryKey(entry.key);
    if (!key.ok()) continue;  // counts for nobody
    RETURN_IF_ERROR(access.Replace(*key, [&](const Value& before) -> absl::StatusOr<Value> {
      if (!before) return before;
      ASSIGN_OR_RETURN(NamespaceGrant grant, source::DecodeNamespaceGrant(entry.key, *before));
      if (std::erase(grant.clusters, cluster) == 0) return before;
      if (grant.clusters.empty()) return Value();
      return source::Encode(grant);
    }));
  }
  return absl::OkStatus();
}

// First what makes it a member, then its rights, then what it has said.
absl::StatusOr<std::string> Remove(const ClusterOptions& options) {
  RETURN_IF_ERROR(source::ParseLabel(options.name).status());
  ASSIGN_OR_RETURN(const DirectoryAccess access, DirectoryAccess::Open(options));
  const std::string user = UserOf(options.name);
  const std::string own = access.KeyOf(source::ClusterKeys(options.name));
  RETURN_IF_ERROR(access.Replace(GrantOf(options.name),
                                 [](const Value&) -> absl::StatusOr<Value> { return Value(); }));
  RETURN_IF_ERROR(etcd::RemoveUser(access.client(), user));
  RETURN_IF_ERROR(etcd::RemoveRole(access.client(), user));
  RETURN_IF_ERROR(RevokeNamespaces(access, options.name));
  RETURN_IF_ERROR(access.client()
                      .Commit({.then = {etcd::Operation::Delete(own, etcd::PrefixEnd(own))}})
                      .status());
  return absl::StrCat("cluster ", options.name, " is no member any more\n");
}

struct Said {
  std::size_t gateways = 0, services = 0;
  std::string publisher;  // "": nobody
};

std::map<std::string, Said> CountWhatTheySay(const std::vector<etcd::KeyValue>& entries) {
  std::map<std::string, Said> clusters;
  for (const etcd::KeyValue& entry : entries) {
    const auto key = source::ParseDirectoryKey(entry.key);
    if (!key.ok()) continue;
    Said& said = clusters[key->cluster];
    if (key->kind == Kind::kGateway) ++said.gateways;
    if (key->kind == Kind::kService) ++said.services;
    if (key->kind != Kind::kPublisher) continue;
    const auto record = source::DecodePublisher(entry.key, entry.value);
    if (record.ok()) said.publisher = record->gateway;
  }
  return clusters;
}

// "203.0.113.0/24,via east"
std::string Allowed(const ClusterGrant& grant) {
  std::vector<std::string> allowed;
  for (const net::Prefix& prefix : grant.gateways) allowed.push_back(prefix.ToString());
  for (const std::string& cluster : grant.via) allowed.push_back(absl::StrCat("via ", cluster));
  return absl::StrJoin(allowed, ",");
}

// What the directory says of one member.
struct Member {
  std::string name;
  ClusterGrant grant;
  Said said;
  const char* State() const {
    if (grant.draining) return "draining";
    return said.gateways > 0 ? "alive" : "away";
  }
};

absl::StatusOr<std::vector<Member>> ReadMembers(const ClusterOptions& options) {
  ASSIGN_OR_RETURN(const DirectoryAccess access, DirectoryAccess::Open(options));
  ASSIGN_OR_RETURN(const std::vector<etcd::KeyValue> grants,
                   access.List(absl::StrCat(source::kAdminKeys, "clusters/")));
  ASSIGN_OR_RETURN(const std::vector<etcd::KeyValue> entries, access.List("clusters/"));
  std::map<std::string, Said> said = CountWhatTheySay(entries);
  std::vector<Member> members;
  for (const etcd::KeyValue& entry : grants) {
    ASSIGN_OR_RETURN(const DirectoryKey key, source::ParseDirectoryKey(entry.key));
    ASSIGN_OR_RETURN(ClusterGrant grant, source::DecodeClusterGrant(entry.key, entry.value));
    members.push_back({key.cluster, std::move(grant), said[key.cluster]});
  }
  return members;
}

std::string ToTable(const std::vector<Member>& members) {
  Table table({"CLUSTER", "STATE", "GATEWAYS", "ALLOWED", "SERVICES", "PUBLISHER"});
  for (const Member& member : members) {
    table.Add({member.name, member.State(), absl::StrCat(member.said.gateways),
               Allowed(member.grant), absl::StrCat(member.said.services),
               member.said.publisher.empty() ? "-" : member.said.publisher});
  }
  return table.empty() ? "no cluster has joined\n" : table.ToString();
}

std::string ToJson(const std::vector<Member>& members) {
  boost::json::array clusters;
  for (const Member& member : members) {
    boost::json::array prefixes, via(member.grant.via.begin(), member.grant.via.end());
    for (const net::Prefix& prefix : member.grant.gateways)
      prefixes.emplace_back(prefix.ToString());
    boost::json::object out{{"name", member.name},
                            {"state", member.State()},
                            {"alive", member.said.gateways > 0},
                            {"draining", member.grant.draining},
                            {"gateways", member.said.gateways},
                            {"services", member.said.services},
                            {"publisher", member.said.publisher},
                            {"gateway_prefixes", std::move(prefixes)},
                            {"via", std::move(via)}};
    if (member.grant.deadline) out["deadline"] = source::FormatTime(*member.grant.deadline);
    clusters.push_back(std::move(out));
  }
  return boost::json::serialize(boost::json::object{{"clusters", std::move(clusters)}}) + "\n";
}

absl::StatusOr<std::string> List(const ClusterOptions& options, const AgentOptions& shown) {
  ASSIGN_OR_RETURN(const std::vector<Member> members, ReadMembers(options));
  return shown.output == "json" ? ToJson(members) : ToTable(members);
}

template <typename Run>
CLI::App* Add(CLI::App& parent, const std::string& name, const std::string& description,
              std::shared_ptr<ClusterOptions> options, Action& action, Run run) {
  CLI::App* command = AddDirectoryCommand(parent, name, description, *options);
  command->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
  return command;
}

}  // namespace

void AddClusters(CLI::App& app, const AgentOptions& shown, Action& action) {
  CLI::App* cluster = app.add_subcommand("cluster", "the members of the directory in etcd");
  cluster->require_subcommand(1);
  auto options = std::make_shared<ClusterOptions>();
  CLI::App* list = Add(*cluster, "list", "show them", options, action,
                       [&shown](const ClusterOptions& given) { return List(given, shown); });
  // --output is of the program.
  cluster->fallthrough();
  list->fallthrough();
  CLI::App* join =
      Add(*cluster, "join", "make a cluster a member, or change it", options, action, Join);
  join->add_option("--gateways", options->gateways, "CIDR ranges that its gateways may be in")
      ->delimiter(',');
  join->add_option("--via", options->via,
                   "clusters through which those that nobody can dial may be reached")
      ->delimiter(',');
  join->add_option("--credentials", options->credentials,
                   "file for the password of its agents (new if there is none)")
      ->required();
  CLI::App* drain =
      Add(*cluster, "drain", "let others take new connections", options, action,
          [](const ClusterOptions& given) { return SetDraining(given, /*draining=*/true); });
  drain->add_option("--deadline", options->deadline,
                    "end what still goes there then: 60s, 10m; at most 24h from now");
  CLI::App* undrain =
      Add(*cluster, "undrain", "let it take new connections again", options, action,
          [](const ClusterOptions& given) { return SetDraining(given, /*draining=*/false); });
  CLI::App* remove = Add(*cluster, "remove", "take away its rights and all that it has said",
                         options, action, Remove);
  for (CLI::App* command : {join, drain, undrain, remove}) {
    command->add_option("NAME", options->name, "the cluster")->required();
  }
}

}  // namespace tombolo::cli
