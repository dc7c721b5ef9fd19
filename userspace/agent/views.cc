// SPDX-License-Identifier: Apache-2.0
#include "agent/views.h"

#include <algorithm>
#include <set>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "net/socket.h"
#include "policy/authorize.h"
#include "tls/record_protection.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;

std::int64_t AgeMs(MonotonicTime since) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               since)
      .count();
}

void AddSession(const tls::SessionInfo& info, json::object& out) {
  out["tls_version"] = info.version;
  out["cipher"] = info.cipher;
  out["group"] = info.group;
}

// What the TCP connection below the records is like.
void AddTransport(const tunnel::Tunnel& tunnel, json::object& out) {
  const tls::RecordStream& stream = tunnel.stream();
  const tls::RecordStream::Usage usage = stream.usage();
  out["records"] = stream.layer() == tls::RecordLayer::kKernel ? "kernel" : "user";
  out["records_sent"] = usage.sent;
  out["records_received"] = usage.received;
  out["record_budget"] = tls::kRecordBudget;
  out["keys_sent_with"] = usage.keys_sent_with;
  if (const auto tcp = net::ReadTcpState(stream.socket().get()); tcp.ok()) {
    out["round_trip_us"] = tcp->round_trip.count();
    out["retransmits"] = tcp->retransmits;
  }
}

json::object TunnelJson(const tunnel::Tunnel& tunnel, bool busy) {
  json::object out;
  out["tunnel"] = tunnel.id();
  out["role"] = tunnel.role() == tunnel::Role::kDialer ? "dialer" : "acceptor";
  out["state"] = busy ? "busy" : "idle";
  out["local_id"] = tunnel.info().local.text();
  out["peer_id"] = tunnel.info().peer.text();
  out["peer_address"] = tunnel.peer_address;
  out["sni"] = tunnel.info().sni;
  AddSession(tunnel.info(), out);
  out["connections"] = tunnel.connection();
  AddTransport(tunnel, out);
  out["age_ms"] = AgeMs(tunnel.opened_at());
  return out;
}

json::object ConnectionJson(const Connection& connection) {
  json::object out;
  out["id"] = connection.id;
  out["role"] = connection.role == tunnel::Role::kDialer ? "dialer" : "acceptor";
  out["state"] = connection.relay == nullptr ? "opening" : "open";
  out["source_id"] = connection.source.text();
  out["source_address"] = connection.source_address.ToString();
  out["service"] = connection.service;
  out["port"] = connection.port;
  out["endpoint"] = connection.endpoint;
  if (connection.why) out["choice"] = connection.why->ToString();
  out["age_ms"] = AgeMs(connection.opened_at);
  if (connection.tunnel != nullptr) {
    out["tunnel"] = connection.tunnel->id();
    out["peer_id"] = connection.tunnel->info().peer.text();
    out["peer_address"] = connection.tunnel->peer_address;
    AddSession(connection.tunnel->info(), out);
    AddTransport(*connection.tunnel, out);
  }
  if (connection.relay != nullptr) {
    out["bytes_to_peer"] = connection.relay->counters().to_tunnel;
    out["bytes_from_peer"] = connection.relay->counters().from_tunnel;
  }
  return out;
}

std::set<const tunnel::Tunnel*> BusyTunnels(const Context& context) {
  std::set<const tunnel::Tunnel*> busy;
  for (const Connection& connection : context.connections.all()) {
    if (connection.tunnel != nullptr) busy.insert(connection.tunnel);
  }
  return busy;
}

}  // namespace

std::string Rfc3339(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

json::object RelayJson(absl::string_view wanted, bool in_kernel,
                       const tls::KernelTlsReport& report) {
  json::array checks;
  for (const auto& check : report.checks) {
    checks.push_back({{"name", check.name},
                      {"works", check.result.ok()},
                      {"error", std::string(check.result.message())}});
  }
  return {{"configured", std::string(wanted)},
          {"records", in_kernel ? "kernel" : "user"},
          {"kernel_tls", std::move(checks)}};
}

json::array ConnectionsOf(const Context& context) {
  json::array out;
  for (const Connection& connection : context.connections.all()) {
    out.push_back(ConnectionJson(connection));
  }
  return out;
}

std::optional<json::object> ConnectionOf(const Context& context, const std::string& id) {
  for (const Connection& connection : context.connections.all()) {
    if (connection.id != id) continue;
    json::object out = ConnectionJson(connection);
    out["policy"] = policy::Authorize(*context.world->snapshot, connection.source,
                                      connection.service, connection.port)
                        .reason;
    return out;
  }
  return std::nullopt;
}

json::array TunnelsOf(const Context& context) {
  json::array out;
  const std::set<const tunnel::Tunnel*> busy = BusyTunnels(context);
  for (tunnel::Tunnel* tunnel : context.accepted_tunnels) {
    out.push_back(TunnelJson(*tunnel, busy.contains(tunnel)));
  }
  for (const Connection& connection : context.connections.all()) {
    if (connection.role != tunnel::Role::kDialer || connection.tunnel == nullptr) continue;
    out.push_back(TunnelJson(*connection.tunnel, /*busy=*/true));
  }
  context.pool.ForEach(
      [&](const tunnel::Tunnel& tunnel) { out.push_back(TunnelJson(tunnel, /*busy=*/false)); });
  return out;
}

ThreadSummary Summarize(const Context& context) {
  ThreadSummary summary;
  for (const Connection& connection : context.connections.all()) {
    const bool dialed = connection.role == tunnel::Role::kDialer;
    ++(dialed ? summary.dialed : summary.accepted);
    if (dialed && connection.tunnel != nullptr) ++summary.busy_tunnels;
  }
  summary.idle_tunnels = context.pool.size();
  summary.closing_tunnels = context.closing;
  summary.accepted_tunnels = context.accepted_tunnels.size();
  return summary;
}

json::object WorkloadsJson(const mesh::Snapshot& snapshot,
                           const std::map<std::string, Enrolment::Entry>& entries) {
  json::array workloads;
  for (const auto& [name, entry] : entries) {
    const mesh::Workload* workload = snapshot.FindWorkload(name);
    if (workload == nullptr) continue;
    workloads.push_back(json::object{{"name", name},
                                     {"id", workload->id.text()},
                                     {"cgroup", workload->cgroup},
                                     {"cgroup_id", entry.cgroup_id},
                                     {"netns", workload->netns},
                                     {"netns_cookie", entry.netns_cookie},
                                     {"enrolled", entry.listening && entry.cgroup_id != 0},
                                     {"error", std::string(entry.status.message())}});
  }
  return {{"workloads", std::move(workloads)}};
}

json::object DatapathJson(const datapath::Datapath& datapath, const std::string& instance,
                          const std::string& pin_directory) {
  json::array programs, maps;
  for (const datapath::ProgramInfo& program : datapath.ReadPrograms()) {
    programs.push_back(json::object{{"name", program.name},
                                    {"attach_type", program.attach_type},
                                    {"pin", program.pin},
                                    {"id", program.id}});
  }
  for (const datapath::MapInfo& map : datapath.ReadMaps()) {
    maps.push_back(json::object{
        {"name", map.name}, {"entries", map.entries}, {"max_entries", map.max_entries}});
  }
  json::object counters;
  for (const datapath::Counter& counter : datapath.ReadCounters()) {
    counters[counter.name] = counter.value;
  }
  return {{"instance", instance},
          {"pin_directory", pin_directory},
          {"refuse_unknown", datapath.refuse_unknown()},
          {"programs", std::move(programs)},
          {"maps", std::move(maps)},
          {"counters", std::move(counters)}};
}

}  // namespace tombolo::agent
