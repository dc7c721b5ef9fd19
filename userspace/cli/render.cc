// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

#include <algorithm>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "cli/format.h"
#include "cli/table.h"

namespace tombolo::cli {
namespace {

namespace json = boost::json;

const json::value* Field(const json::value* value, std::string_view key) {
  if (value == nullptr || !value->is_object()) return nullptr;
  return value->get_object().if_contains(key);
}

// The elements of a list; none when it is missing or something else.
const json::array& List(const json::value* value, std::string_view key) {
  static const json::array kEmpty;
  const json::value* field = Field(value, key);
  return field != nullptr && field->is_array() ? field->get_array() : kEmpty;
}

std::string TextOf(const json::value* value, std::string_view key) {
  return Text(Field(value, key));
}

std::string Joined(const json::array& list, absl::string_view separator) {
  if (list.empty()) return Text(nullptr);
  return absl::StrJoin(list, separator, [](std::string* out, const json::value& item) {
    absl::StrAppend(out, Text(&item));
  });
}

// "Key:   value" lines, values aligned.
class Facts {
 public:
  void Add(absl::string_view key, std::string value) {
    facts_.emplace_back(absl::StrCat(key, ":"), std::move(value));
  }
  std::string ToString() const {
    std::size_t width = 0;
    for (const auto& [key, value] : facts_) width = std::max(width, key.size());
    std::string out;
    for (const auto& [key, value] : facts_) {
      absl::StrAppend(&out, key, std::string(width - key.size() + 3, ' '), value, "\n");
    }
    return out;
  }

 private:
  std::vector<std::pair<std::string, std::string>> facts_;
};

std::string OrNone(const Table& table, absl::string_view what) {
  return table.empty() ? absl::StrCat("No ", what, ".\n") : table.ToString();
}

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
  return OrNone(table, "identities");
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

std::string RenderIdentities(const json::value* root, absl::Time now) {
  Facts facts;
  AddAuthority(facts, Field(root, "authority"), now);
  AddExpiring(facts, root, now);
  const std::string about = facts.ToString();
  return absl::StrCat(about, about.empty() ? "" : "\n", IdentityTable(root, now));
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
  return absl::StrCat(facts.ToString(), "\n", OrNone(table, "nodes"));
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

// One row an endpoint. A service without ports, or a port without endpoints, is
// what someone is looking for: it has a row too.
void AddPort(Table& table, const json::value& service, const json::value* port) {
  const auto add = [&](const json::value* e) {
    table.Add({TextOf(&service, "name"), Joined(List(&service, "vips"), ","), TextOf(port, "port"),
               TextOf(e, "workload"), TextOf(e, "cluster"), TextOf(e, "node"), TextOf(e, "address"),
               TextOf(e, "ready"), TextOf(e, "weight"), TextOf(e, "in_flight"),
               TextOf(e, "ejected"), Age(Field(e, "ejected_for_ms"))});
  };
  const json::array& endpoints = List(port, "endpoints");
  if (endpoints.empty()) add(nullptr);
  for (const json::value& endpoint : endpoints) add(&endpoint);
}

std::string RenderServices(const json::value* root, absl::Time) {
  Table table({"SERVICE", "VIPS", "PORT", "WORKLOAD", "CLUSTER", "NODE", "ADDRESS", "READY",
               "WEIGHT", "IN-FLIGHT", "EJECTED", "EJECTED-FOR"});
  for (const json::value& service : List(root, "services")) {
    const json::array& ports = List(&service, "ports");
    if (ports.empty()) AddPort(table, service, nullptr);
    for (const json::value& port : ports) AddPort(table, service, &port);
  }
  return OrNone(table, "services");
}

// One row a way to the cluster: its gateways, or its nodes.
std::string RenderClusters(const json::value* root, absl::Time) {
  Table table({"CLUSTER", "REGION", "OWN", "DRAINING", "EJECTED", "RTT-US", "WAY", "NAME",
               "ADDRESS", "ZONE", "IN-FLIGHT", "WAY-EJECTED", "EJECTED-FOR"});
  for (const json::value& c : List(root, "clusters")) {
    const auto add = [&](const json::value* way) {
      table.Add({TextOf(&c, "name"), TextOf(&c, "region"), TextOf(&c, "own"),
                 TextOf(&c, "draining"), TextOf(&c, "ejected"), TextOf(&c, "round_trip_us"),
                 TextOf(way, "kind"), TextOf(way, "name"), TextOf(way, "address"),
                 TextOf(way, "zone"), TextOf(way, "in_flight"), TextOf(way, "ejected"),
                 Age(Field(way, "ejected_for_ms"))});
    };
    if (List(&c, "ways").empty()) add(nullptr);
    for (const json::value& way : List(&c, "ways")) add(&way);
  }
  return OrNone(table, "clusters");
}

std::string RenderWorkloads(const json::value* root, absl::Time) {
  Table table({"WORKLOAD", "IDENTITY", "CGROUP", "CGROUP-ID", "NETNS", "ENROLLED", "ERROR"});
  for (const json::value& w : List(root, "workloads")) {
    table.Add({TextOf(&w, "name"), ShortId(Field(&w, "id")), TextOf(&w, "cgroup"),
               TextOf(&w, "cgroup_id"), TextOf(&w, "netns"), TextOf(&w, "enrolled"),
               TextOf(&w, "error")});
  }
  return OrNone(table, "workloads on this node");
}

// The busier direction's share of its key's record budget.
std::string KeyUsed(const json::value& stream) {
  const auto count = [&](const char* key) {
    const json::value* value = Field(&stream, key);
    return value != nullptr && value->is_number() ? value->to_number<double>() : 0.0;
  };
  const double budget = count("record_budget");
  if (budget <= 0) return "-";
  return absl::StrFormat("%.1f%%",
                         100 * std::max(count("records_sent"), count("records_received")) / budget);
}

std::string RenderConnections(const json::value* root, absl::Time) {
  Table table({"CONNECTION", "ROLE", "STATE", "SOURCE", "SOURCE-ADDRESS", "SERVICE", "PORT",
               "ENDPOINT", "PEER", "PEER-ADDRESS", "TLS", "RECORDS", "KEY-USED", "RTT-US",
               "RETRANSMITS", "TO-PEER", "FROM-PEER", "AGE"});
  for (const json::value& c : List(root, "connections")) {
    table.Add({TextOf(&c, "id"), TextOf(&c, "role"), TextOf(&c, "state"),
               ShortId(Field(&c, "source_id")), TextOf(&c, "source_address"), TextOf(&c, "service"),
               TextOf(&c, "port"), TextOf(&c, "endpoint"), ShortId(Field(&c, "peer_id")),
               TextOf(&c, "peer_address"), TextOf(&c, "cipher"), TextOf(&c, "records"), KeyUsed(c),
               TextOf(&c, "round_trip_us"), TextOf(&c, "retransmits"),
               Bytes(Field(&c, "bytes_to_peer")), Bytes(Field(&c, "bytes_from_peer")),
               Age(Field(&c, "age_ms"))});
  }
  return OrNone(table, "connections");
}

std::string RenderGatewayTunnels(const json::value* root) {
  Table table({"PEER-ADDRESS", "SERVICE", "PORT", "NODE", "NODE-ADDRESS", "RTT-US", "RETRANSMITS",
               "TO-NODE", "FROM-NODE", "AGE"});
  for (const json::value& t : List(root, "tunnels")) {
    table.Add({TextOf(&t, "peer_address"), TextOf(&t, "service"), TextOf(&t, "port"),
               TextOf(&t, "node"), TextOf(&t, "node_address"), TextOf(&t, "round_trip_us"),
               TextOf(&t, "retransmits"), Bytes(Field(&t, "bytes_to_node")),
               Bytes(Field(&t, "bytes_from_node")), Age(Field(&t, "age_ms"))});
  }
  return OrNone(table, "tunnels");
}

std::string RenderTunnels(const json::value* root, absl::Time) {
  const json::array& tunnels = List(root, "tunnels");
  if (!tunnels.empty() && TextOf(&tunnels.front(), "role") == "gateway") {
    return RenderGatewayTunnels(root);
  }
  Table table({"TUNNEL", "ROLE", "STATE", "LOCAL", "PEER", "PEER-ADDRESS", "TLS", "CIPHER", "GROUP",
               "RECORDS", "RTT-US", "RETRANSMITS", "CONNECTIONS", "SENT-RECORDS",
               "RECEIVED-RECORDS", "AGE"});
  for (const json::value& t : List(root, "tunnels")) {
    table.Add({TextOf(&t, "tunnel"), TextOf(&t, "role"), TextOf(&t, "state"),
               ShortId(Field(&t, "local_id")), ShortId(Field(&t, "peer_id")),
               TextOf(&t, "peer_address"), TextOf(&t, "tls_version"), TextOf(&t, "cipher"),
               TextOf(&t, "group"), TextOf(&t, "records"), TextOf(&t, "round_trip_us"),
               TextOf(&t, "retransmits"), TextOf(&t, "connections"), TextOf(&t, "records_sent"),
               TextOf(&t, "records_received"), Age(Field(&t, "age_ms"))});
  }
  return OrNone(table, "tunnels");
}

std::string RenderCounters(const json::value* root) {
  Table table({"COUNTER", "VALUE"});
  const json::value* counters = Field(root, "counters");
  if (counters != nullptr && counters->is_object()) {
    for (const auto& [name, value] : counters->get_object()) {
      const json::value key(name);
      table.Add({Text(&key), Text(&value)});
    }
  }
  return OrNone(table, "counters");
}

std::string RenderDatapath(const json::value* root, absl::Time) {
  Facts facts;
  facts.Add("Instance", TextOf(root, "instance"));
  facts.Add("Pins", TextOf(root, "pin_directory"));
  facts.Add("Refuse unknown", TextOf(root, "refuse_unknown"));
  Table programs({"PROGRAM", "ATTACHED-TO", "ID", "PIN"});
  for (const json::value& p : List(root, "programs")) {
    programs.Add(
        {TextOf(&p, "name"), TextOf(&p, "attach_type"), TextOf(&p, "id"), TextOf(&p, "pin")});
  }
  Table maps({"MAP", "ENTRIES", "MAX-ENTRIES"});
  for (const json::value& m : List(root, "maps")) {
    maps.Add({TextOf(&m, "name"), TextOf(&m, "entries"), TextOf(&m, "max_entries")});
  }
  return absl::StrCat(facts.ToString(), "\n", OrNone(programs, "programs"), "\n",
                      OrNone(maps, "maps"), "\n", RenderCounters(root));
}

struct Renderer {
  Noun noun;
  std::string (*render)(const json::value* root, absl::Time now);
};

constexpr Renderer kRenderers[] = {
    {{"status", "is this agent ready, and what does it know"}, RenderStatus},
    {{"services", "every service, where it is served, and how its endpoints do"}, RenderServices},
    {{"clusters", "every cluster, and how the ways to it do"}, RenderClusters},
    {{"identities", "SVIDs of this node, and how their renewal goes"}, RenderIdentities},
    {{"workloads", "what has an identity on this node"}, RenderWorkloads},
    {{"connections", "application connections that this agent carries"}, RenderConnections},
    {{"tunnels", "mTLS connections to and from other agents, or through this gateway"},
     RenderTunnels},
    {{"datapath", "eBPF programs, maps and counters in the kernel"}, RenderDatapath},
};

}  // namespace

const std::vector<Noun>& Nouns() {
  static const auto* nouns = [] {
    auto* all = new std::vector<Noun>;
    for (const Renderer& renderer : kRenderers) all->push_back(renderer.noun);
    return all;
  }();
  return *nouns;
}

absl::StatusOr<std::string> Render(absl::string_view noun, absl::string_view answer,
                                   absl::Time now) {
  boost::system::error_code error;
  const json::value root = json::parse({answer.data(), answer.size()}, error);
  if (error || !root.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the agent's answer is not a JSON object",
                     error ? absl::StrCat(": ", error.message()) : std::string()));
  }
  for (const Renderer& renderer : kRenderers) {
    if (renderer.noun.name == noun) return renderer.render(&root, now);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown noun '", noun, "'"));
}

}  // namespace tombolo::cli
