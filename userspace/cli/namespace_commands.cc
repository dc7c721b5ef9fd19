// SPDX-License-Identifier: Apache-2.0
// tombolo namespace list, grant, revoke
#include <algorithm>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/directory_access.h"
#include "cli/table.h"
#include "source/directory_records.h"
#include "source/values.h"

namespace tombolo::cli {
namespace {

using source::DirectoryKey;
using source::NamespaceGrant;
using Kind = DirectoryKey::Kind;
using Value = std::optional<std::string>;

struct NamespaceOptions : DirectoryOptions {
  std::string name;
  std::vector<std::string> clusters;
};

// A name with a typing error would wait for whoever joins under it.
absl::Status CheckMembers(const DirectoryAccess& access, const std::vector<std::string>& clusters) {
  for (const std::string& cluster : clusters) {
    RETURN_IF_ERROR(source::ParseLabel(cluster).status());
    const DirectoryKey key{.kind = Kind::kClusterGrant, .cluster = cluster};
    ASSIGN_OR_RETURN(const etcd::RangeAnswer answer,
                     access.client().Range({.key = access.KeyOf(key.Text())}));
    if (answer.entries.empty()) {
      return absl::NotFoundError(
          absl::StrCat("no cluster '", cluster, "': tombolo cluster join first"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Change(const NamespaceOptions& options, bool grant) {
  RETURN_IF_ERROR(source::ParseLabel(options.name).status());
  ASSIGN_OR_RETURN(const DirectoryAccess access, DirectoryAccess::Open(options));
  if (grant) RETURN_IF_ERROR(CheckMembers(access, options.clusters));
  const DirectoryKey key{.kind = Kind::kNamespaceGrant, .ns = options.name};
  NamespaceGrant after;
  RETURN_IF_ERROR(access.Replace(key, [&](const Value& before) -> absl::StatusOr<Value> {
    after = {};
    if (before) {
      ASSIGN_OR_RETURN(after, source::DecodeNamespaceGrant(key.Text(), *before));
    }
    for (const std::string& cluster : options.clusters) {
      std::erase(after.clusters, cluster);
      if (grant) after.clusters.push_back(cluster);
    }
    std::sort(after.clusters.begin(), after.clusters.end());
    if (after.clusters.empty()) return Value();
    return source::Encode(after);
  }));
  return absl::StrCat("namespace ", options.name, " may be served by ",
                      after.clusters.empty() ? "nobody" : absl::StrJoin(after.clusters, ", "),
                      "\n");
}

absl::StatusOr<std::string> List(const NamespaceOptions& options) {
  ASSIGN_OR_RETURN(const DirectoryAccess access, DirectoryAccess::Open(options));
  ASSIGN_OR_RETURN(const std::vector<etcd::KeyValue> entries,
                   access.List(absl::StrCat(source::kAdminKeys, "namespaces/")));
  Table table({"NAMESPACE", "CLUSTERS"});
  for (const etcd::KeyValue& entry : entries) {
    ASSIGN_OR_RETURN(const DirectoryKey key, source::ParseDirectoryKey(entry.key));
    ASSIGN_OR_RETURN(const NamespaceGrant grant,
                     source::DecodeNamespaceGrant(entry.key, entry.value));
    table.Add({key.ns, absl::StrJoin(grant.clusters, ",")});
  }
  return table.empty() ? "nobody may serve any namespace\n" : table.ToString();
}

}  // namespace

void AddNamespaces(CLI::App& app, Action& action) {
  CLI::App* ns = app.add_subcommand("namespace", "who may serve which namespace to others");
  ns->require_subcommand(1);
  auto options = std::make_shared<NamespaceOptions>();
  CLI::App* list = AddDirectoryCommand(*ns, "list", "show it", *options);
  list->callback([options, &action] { action = [options] { return List(*options); }; });
  for (const bool grant : {true, false}) {
    CLI::App* command = AddDirectoryCommand(
        *ns, grant ? "grant" : "revoke",
        grant ? "let clusters serve a namespace" : "let them serve it no more", *options);
    command->add_option("NAMESPACE", options->name, "the namespace")->required();
    command->add_option("CLUSTER", options->clusters, "the clusters")->required();
    command->callback([options, grant, &action] {
      action = [options, grant] { return Change(*options, grant); };
    });
  }
}

}  // namespace tombolo::cli
