// SPDX-License-Identifier: Apache-2.0
// Nouns about this process: is it ready, what does it know, and who is it for.
#include "absl/strings/str_cat.h"
#include "cli/answer.h"
#include "cli/facts.h"
#include "cli/format.h"
#include "cli/renderers.h"
#include "cli/table.h"

namespace tombolo::cli {
namespace {

namespace json = boost::json;

// An authority renews; files do not say when they will be replaced.
std::string IdentityTable(const json::value* root, absl::Time now) {
  const bool renews = Field(root, "authority") != nullptr;
  std::vector<std::string> header{"IDENTITY", "SERIAL", "ISSUED", "EXPIRES"};
  if (renews) header.insert(header.end(), {"NEXT-ATTEMPT", "FAILURES"});
  header.emplace_back("ERROR");
  Table table(header);
  for (const json::value& id : List(root, "identities")) {
    std::vector<std::string> row{TextOf(&id, "id"), TextOf(&id, "serial"),
                                 Relative(Field(&id, "not_before"), now),
                                 Relative(Field(&id, "not_after"), now)};
    if (renews) {
      row.push_back(Relative(Field(&id, "next_attempt"), now));
      row.push_back(TextOf(&id, "failures"));
    }
    row.push_back(TextOf(&id, "error"));
    table.Add(std::move(row));
  }
  return table.OrNone("identities");
}

void AddAuthority(Facts& facts, const json::value* authority, absl::Time now) {
  if (authority == nullptr) return;
  const json::value* node = Field(authority, "node");
  facts.Add("Authority", Joined(List(authority, "urls"), " "));
  facts.Add("Authority reachable", absl::StrCat(TextOf(authority, "reachable"), ", since ",
                                                Relative(Field(authority, "since"), now)));
  facts.Add("Trust bundle", absl::StrCat("sequence ", TextOf(authority, "bundle_sequence")));
  facts.Add("Trust bundle error", TextOf(authority, "bundle_error"));
  facts.Add("Node SVID", absl::StrCat(TextOf(node, "serial"), ", expires ",
                                      Relative(Field(node, "not_after"), now), ", next attempt ",
                                      Relative(Field(node, "next_attempt"), now)));
  facts.Add("Node SVID error", TextOf(node, "error"));
  facts.Add("State error", TextOf(authority, "state_error"));
}

// What somebody has to look at before connections begin to fail.
void AddExpiring(Facts& facts, const json::value* root, absl::Time now) {
  const auto add = [&](const json::value* id) {
    const json::value* soon = Field(id, "expires_soon");
    if (soon == nullptr || !soon->is_bool() || !soon->get_bool()) return;
    facts.Add("SVID expires soon",
              absl::StrCat(TextOf(id, "id"), ", ", Relative(Field(id, "not_after"), now), ", ",
                           TextOf(id, "failures"), " failures: ", TextOf(id, "error")));
  };
  if (const json::value* authority = Field(root, "authority")) add(Field(authority, "node"));
  for (const json::value& id : List(root, "identities")) add(&id);
}

void AddRelay(Facts& facts, const json::value* relay) {
  const std::string layer = TextOf(relay, "records");
  facts.Add("Records", absl::StrCat(layer == "user" ? "sealed in user space"
                                                    : absl::StrCat("sealed in the ", layer),
                                    ", relay: ", TextOf(relay, "configured")));
  for (const json::value& check : List(relay, "kernel_tls")) {
    const json::value* works = Field(&check, "works");
    const bool ok = works != nullptr && works->is_bool() && works->get_bool();
    facts.Add("Kernel TLS",
              absl::StrCat(TextOf(&check, "name"), ": ", ok ? "works" : TextOf(&check, "error")));
  }
}

// What other clusters say in etcd.
void AddSharedDirectory(Facts& facts, const json::value* shared, absl::Time now) {
  if (shared == nullptr) return;
  facts.Add("Shared directory", absl::StrCat("in sync ", TextOf(shared, "in_sync"), ", since ",
                                             Relative(Field(shared, "since"), now)));
  if (const json::value* kept_at = Field(shared, "kept_at")) {
    facts.Add("Shared directory as of", Relative(kept_at, now));
  }
  facts.Add("Shared directory error", TextOf(shared, "error"));
  facts.Add("Kept directory error", TextOf(shared, "state_error"));
  facts.Add("Publish error", TextOf(shared, "publish_error"));
  for (const json::value& problem : List(shared, "not_exported")) {
    facts.Add("Not published", Text(&problem));
  }
  for (const json::value& group : List(shared, "refused")) {
    for (const json::value& record : List(&group, "records")) {
      facts.Add("Refused", absl::StrCat(TextOf(&record, "key"), ": ", TextOf(&record, "what")));
    }
  }
}

// What every role has.
void AddProcess(Facts& facts, const json::value* root, absl::Time now) {
  const json::value* snapshot = Field(root, "snapshot");
  facts.Add("Cluster", TextOf(root, "cluster"));
  facts.Add("Instance", TextOf(root, "instance"));
  facts.Add("Version", TextOf(root, "version"));
  facts.Add("Process", absl::StrCat(TextOf(root, "pid"), ", ", TextOf(root, "threads"),
                                    " data-plane threads, started ",
                                    Relative(Field(root, "started_at"), now)));
  facts.Add("Ready", TextOf(root, "ready"));
  for (const json::value& reason : List(root, "not_ready")) facts.Add("Not ready", Text(&reason));
  facts.Add("Trust domain", TextOf(snapshot, "trust_domain"));
  facts.Add("Directory", absl::StrCat("version ", TextOf(snapshot, "version"), ", loaded ",
                                      Relative(Field(snapshot, "loaded_at"), now)));
  facts.Add("Directory error", TextOf(snapshot, "error"));
  AddSharedDirectory(facts, Field(root, "shared_directory"), now);
  facts.Add("Config error", TextOf(root, "config_error"));
}

std::string RenderGatewayStatus(const json::value* root, absl::Time now) {
  const json::value* gateway = Field(root, "gateway");
  Facts facts;
  facts.Add("Gateway", TextOf(root, "node"));
  AddProcess(facts, root, now);
  facts.Add("Listens", TextOf(gateway, "listen"));
  facts.Add("Names", TextOf(gateway, "names"));
  facts.Add("Tunnels",
            absl::StrCat(TextOf(gateway, "tunnels"), ", ", TextOf(gateway, "opening"), " opening"));
  Table table({"NODE", "ADDRESS", "ZONE", "TUNNELS", "REACHED", "FAILED", "AVOIDED-FOR"});
  for (const json::value& node : List(gateway, "nodes")) {
    table.Add({TextOf(&node, "name"), TextOf(&node, "address"), TextOf(&node, "zone"),
               TextOf(&node, "tunnels"), TextOf(&node, "reached"), TextOf(&node, "failed"),
               Age(Field(&node, "avoided_for_ms"))});
  }
  return absl::StrCat(facts.ToString(), "\n", table.OrNone("nodes"));
}
}  // namespace

std::string RenderIdentities(const json::value* root, absl::Time now) {
  Facts facts;
  AddAuthority(facts, Field(root, "authority"), now);
  AddExpiring(facts, root, now);
  const std::string about = facts.ToString();
  return absl::StrCat(about, about.empty() ? "" : "\n", IdentityTable(root, now));
}

std::string RenderStatus(const json::value* root, absl::Time now) {
  if (Field(root, "gateway") != nullptr) return RenderGatewayStatus(root, now);
  const json::value* datapath = Field(root, "datapath");
  const json::value* connections = Field(root, "connections");
  const json::value* tunnels = Field(root, "tunnels");
  Facts facts;
  facts.Add("Node", TextOf(root, "node"));
  AddProcess(facts, root, now);
  facts.Add("Datapath", absl::StrCat("attached ", TextOf(datapath, "attached"), ", refuse unknown ",
                                     TextOf(datapath, "refuse_unknown")));
  facts.Add("Datapath error", TextOf(datapath, "error"));
  AddRelay(facts, Field(root, "relay"));
  facts.Add("Connections", absl::StrCat(TextOf(connections, "dialed"), " dialed, ",
                                        TextOf(connections, "accepted"), " accepted"));
  facts.Add("Tunnels", absl::StrCat(TextOf(tunnels, "idle"), " idle, ", TextOf(tunnels, "busy"),
                                    " busy, ", TextOf(tunnels, "accepted"), " accepted"));
  AddAuthority(facts, Field(root, "authority"), now);
  AddExpiring(facts, root, now);
  return absl::StrCat(facts.ToString(), "\n", IdentityTable(root, now));
}

}  // namespace tombolo::cli
