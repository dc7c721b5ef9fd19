// SPDX-License-Identifier: Apache-2.0
#include "agent/views.h"

namespace tombolo::agent {
namespace {

using admin::MetricType;
using admin::Sample;

class Samples {
 public:
  void Counter(std::string name, std::string help, const Counters::Count& count,
               std::vector<std::pair<std::string, std::string>> labels = {}) {
    samples_.push_back({.name = std::move(name),
                        .help = std::move(help),
                        .type = MetricType::kCounter,
                        .labels = std::move(labels),
                        .value = static_cast<double>(count.load(std::memory_order_relaxed))});
  }

  template <typename Enum, std::size_t kSize>
  void By(const std::string& name, const std::string& help, const std::string& role,
          const Counters::By<Enum, kSize>& counts) {
    for (std::size_t i = 0; i < kSize; ++i) {
      Counter(name, help, counts.counts[i],
              {{"role", role}, {"reason", std::string(Name(static_cast<Enum>(i)))}});
    }
  }

  std::vector<Sample> Take() { return std::move(samples_); }

 private:
  std::vector<Sample> samples_;
};

}  // namespace

std::vector<Sample> CounterSamples(const Counters& counters) {
  Samples samples;
  samples.By("tombolo_connections_refused_total", "Connections not carried, by reason.", "dialer",
             counters.dialed_refused);
  samples.By("tombolo_connections_refused_total", "Connections not carried, by reason.", "acceptor",
             counters.accepted_refused);
  samples.By("tombolo_handshake_failures_total", "Failed tunnel handshakes, by reason.", "dialer",
             counters.dialed_handshake_failures);
  samples.By("tombolo_handshake_failures_total", "Failed tunnel handshakes, by reason.", "acceptor",
             counters.accepted_handshake_failures);
  const auto by_role = [&](const std::string& name, const std::string& help,
                           const Counters::Count& dialer, const Counters::Count& acceptor) {
    samples.Counter(name, help, dialer, {{"role", "dialer"}});
    samples.Counter(name, help, acceptor, {{"role", "acceptor"}});
  };
  by_role("tombolo_connections_total", "Connections relayed.", counters.dialed, counters.accepted);
  by_role("tombolo_connections_reset_total", "Relayed connections that ended by a reset.",
          counters.dialed_failed, counters.accepted_failed);
  by_role("tombolo_tunnels_total", "Tunnel handshakes done.", counters.tunnels_dialed,
          counters.tunnels_accepted);
  samples.Counter("tombolo_tunnels_reused_total", "Connections that found an idle tunnel.",
                  counters.tunnels_reused);
  samples.Counter("tombolo_connection_retries_total", "Attempts after a connection's first.",
                  counters.retries);
  samples.Counter("tombolo_tunnel_protocol_errors_total",
                  "Tunnels ended because the peer broke the protocol.",
                  counters.tunnel_protocol_errors);
  samples.Counter("tombolo_dead_ways_total",
                  "Times that no idle tunnel to a node or gateway answered.", counters.dead_ways);
  const std::string bytes = "tombolo_relayed_bytes_total";
  const std::string bytes_help = "Application bytes of finished connections.";
  samples.Counter(bytes, bytes_help, counters.bytes_to_tunnel, {{"direction", "to_tunnel"}});
  samples.Counter(bytes, bytes_help, counters.bytes_from_tunnel, {{"direction", "from_tunnel"}});
  return samples.Take();
}

std::vector<Sample> DatapathSamples(const datapath::Datapath& datapath) {
  std::vector<Sample> samples;
  for (const datapath::Counter& counter : datapath.ReadCounters()) {
    samples.push_back({.name = "tombolo_datapath_verdicts_total",
                       .help = "Verdicts of the eBPF programs.",
                       .type = MetricType::kCounter,
                       .labels = {{"verdict", counter.name}},
                       .value = static_cast<double>(counter.value)});
  }
  for (const datapath::MapInfo& map : datapath.ReadMaps()) {
    samples.push_back({.name = "tombolo_datapath_map_entries",
                       .help = "Entries of an eBPF map.",
                       .labels = {{"map", map.name}},
                       .value = static_cast<double>(map.entries)});
    samples.push_back({.name = "tombolo_datapath_map_max_entries",
                       .help = "Size of an eBPF map.",
                       .labels = {{"map", map.name}},
                       .value = static_cast<double>(map.max_entries)});
  }
  samples.push_back({.name = "tombolo_datapath_refuse_unknown",
                     .help = "1 while a map that is too small makes the hook refuse what it does "
                             "not know.",
                     .value = datapath.refuse_unknown() ? 1.0 : 0.0});
  return samples;
}

std::vector<Sample> RelaySamples(bool in_kernel, const tls::KernelTlsReport& report) {
  std::vector<Sample> samples;
  samples.push_back({.name = "tombolo_relay_kernel_tls",
                     .help = "1 when tunnels' records are sealed and opened in the kernel.",
                     .value = in_kernel ? 1.0 : 0.0});
  for (const tls::KernelTlsReport::Check& check : report.checks) {
    samples.push_back({.name = "tombolo_kernel_tls_check",
                       .help = "1 when this part of the kernel's TLS worked in the self-test.",
                       .labels = {{"check", check.name}},
                       .value = check.result.ok() ? 1.0 : 0.0});
  }
  return samples;
}

}  // namespace tombolo::agent
