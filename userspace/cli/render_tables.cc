// SPDX-License-Identifier: Apache-2.0
// Nouns that are one table each, or nearly so.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/answer.h"
#include "cli/facts.h"
#include "cli/format.h"
#include "cli/renderers.h"
#include "cli/table.h"

namespace tombolo::cli {
namespace {

namespace json = boost::json;

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

std::string RenderGatewayTunnels(const json::value* root) {
  Table table({"PEER-ADDRESS", "SERVICE", "PORT", "NODE", "NODE-ADDRESS", "RTT-US", "RETRANSMITS",
               "TO-NODE", "FROM-NODE", "AGE"});
  for (const json::value& t : List(root, "tunnels")) {
    table.Add({TextOf(&t, "peer_address"), TextOf(&t, "service"), TextOf(&t, "port"),
               TextOf(&t, "node"), TextOf(&t, "node_address"), TextOf(&t, "round_trip_us"),
               TextOf(&t, "retransmits"), Bytes(Field(&t, "bytes_to_node")),
               Bytes(Field(&t, "bytes_from_node")), Age(Field(&t, "age_ms"))});
  }
  return table.OrNone("tunnels");
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
  return table.OrNone("counters");
}

}  // namespace

std::string RenderServices(const json::value* root, absl::Time) {
  Table table({"SERVICE", "VIPS", "PORT", "WORKLOAD", "CLUSTER", "NODE", "ADDRESS", "READY",
               "WEIGHT", "IN-FLIGHT", "EJECTED", "EJECTED-FOR"});
  for (const json::value& service : List(root, "services")) {
    const json::array& ports = List(&service, "ports");
    if (ports.empty()) AddPort(table, service, nullptr);
    for (const json::value& port : ports) AddPort(table, service, &port);
  }
  return table.OrNone("services");
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
  return table.OrNone("clusters");
}

std::string RenderWorkloads(const json::value* root, absl::Time) {
  Table table({"WORKLOAD", "IDENTITY", "CGROUP", "CGROUP-ID", "NETNS", "ENROLLED", "ERROR"});
  for (const json::value& w : List(root, "workloads")) {
    table.Add({TextOf(&w, "name"), ShortId(Field(&w, "id")), TextOf(&w, "cgroup"),
               TextOf(&w, "cgroup_id"), TextOf(&w, "netns"), TextOf(&w, "enrolled"),
               TextOf(&w, "error")});
  }
  return table.OrNone("workloads on this node");
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
  return table.OrNone("connections");
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
  return table.OrNone("tunnels");
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
  return absl::StrCat(facts.ToString(), "\n", programs.OrNone("programs"), "\n",
                      maps.OrNone("maps"), "\n", RenderCounters(root));
}

}  // namespace tombolo::cli
