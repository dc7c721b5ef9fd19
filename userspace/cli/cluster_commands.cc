// SPDX-License-Identifier: Apache-2.0
// tombolo cluster list, join, drain, undrain, remove
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
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
  std::string name, credentials;
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

// A member again keeps whether it is draining.
absl::Status PutGrant(const DirectoryAccess& access, const std::string& cluster,
                      const ClusterGrant& wanted) {
  const DirectoryKey key = GrantOf(cluster);
  return access.Replace(key, [&](const Value& before) -> absl::StatusOr<Value> {
    ClusterGrant grant = wanted;
    if (before) {
      const auto old = source::DecodeClusterGrant(key.Text(), *before);
      grant.draining = old.ok() && old->draining;
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
                      "\nit may serve no namespace yet: tombolo namespace grant\n");
}

absl::StatusOr<std::string> SetDraining(const ClusterOptions& options, bool draining) {
  RETURN_IF_ERROR(source::ParseLabel(options.name).status());
  ASSIGN_OR_RETURN(const DirectoryAccess access, DirectoryAccess::Open(options));
  const DirectoryKey key = GrantOf(options.name);
  RETURN_IF_ERROR(access.Replace(key, [&](const Value& before) -> absl::StatusOr<Value> {
    if (!before) return absl::NotFoundError(absl::StrCat("no cluster '", options.name, "'"));
    ASSIGN_OR_RETURN(ClusterGrant grant, source::DecodeClusterGrant(key.Text(), *before));
    grant.draining = draining;
    return source::Encode(grant);
  }));
  return absl::StrCat("cluster ", options.name,
                      draining ? " is draining\n" : " takes part again\n");
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
  std::string publisher = "-";
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

absl::StatusOr<std::string> List(const ClusterOptions& options) {
  ASSIGN_OR_RETURN(const DirectoryAccess access, DirectoryAccess::Open(options));
  ASSIGN_OR_RETURN(const std::vector<etcd::KeyValue> grants,
                   access.List(absl::StrCat(source::kAdminKeys, "clusters/")));
  ASSIGN_OR_RETURN(const std::vector<etcd::KeyValue> entries, access.List("clusters/"));
  std::map<std::string, Said> said = CountWhatTheySay(entries);
  Table table({"CLUSTER", "STATE", "GATEWAYS", "ALLOWED", "SERVICES", "PUBLISHER"});
  for (const etcd::KeyValue& entry : grants) {
    ASSIGN_OR_RETURN(const DirectoryKey key, source::ParseDirectoryKey(entry.key));
    ASSIGN_OR_RETURN(const ClusterGrant grant, source::DecodeClusterGrant(entry.key, entry.value));
    const Said& own = said[key.cluster];
    const char* alive = own.gateways > 0 ? "alive" : "away";
    table.Add({key.cluster, grant.draining ? "draining" : alive, absl::StrCat(own.gateways),
               Allowed(grant), absl::StrCat(own.services), own.publisher});
  }
  return table.empty() ? "no cluster has joined\n" : table.ToString();
}

template <typename Run>
CLI::App* Add(CLI::App& parent, const std::string& name, const std::string& description,
              std::shared_ptr<ClusterOptions> options, Action& action, const Run& run) {
  CLI::App* command = AddDirectoryCommand(parent, name, description, *options);
  command->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
  return command;
}

}  // namespace

void AddClusters(CLI::App& app, Action& action) {
  CLI::App* cluster = app.add_subcommand("cluster", "the members of the directory in etcd");
  cluster->require_subcommand(1);
  auto options = std::make_shared<ClusterOptions>();
  Add(*cluster, "list", "show them", options, action, List);
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
