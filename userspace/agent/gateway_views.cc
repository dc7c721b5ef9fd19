// SPDX-License-Identifier: Apache-2.0
// What the gateway tells of itself: the admin API's providers.
#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "admin/process_metrics.h"
#include "agent/balance_views.h"
#include "agent/gateway_agent.h"
#include "agent/gateway_topology.h"
#include "agent/link_views.h"
#include "agent/status_json.h"
#include "agent/views.h"
#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;
using admin::MetricType;
using admin::Sample;

std::int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

json::object TunnelJson(const GatewayTunnel& tunnel, MonotonicTime now) {
  const auto tcp = net::ReadTcpState(tunnel.mover->client().get());
  const gateway::Mover::Counts& counts = tunnel.mover->counts();
  return {{"role", "gateway"},
          {"state", "open"},
          {"sni", tunnel.server_name},
          {"service", tunnel.service},
          {"port", tunnel.port},
          {"peer_address", tunnel.peer.ToString()},
          {"node", tunnel.node.get() == nullptr ? "" : tunnel.node->name()},
          {"link", tunnel.link},
          {"node_address", tunnel.far.ToString()},
          {"round_trip_us", tcp.ok() ? tcp->round_trip.count() : 0},
          {"retransmits", tcp.ok() ? tcp->retransmits : 0},
          {"bytes_to_node", counts.to_node},
          {"bytes_from_node", counts.from_node},
          {"age_ms", Milliseconds(now - tunnel.opened_at)}};
}

json::array TunnelsOf(const GatewayContext& context) {
  json::array out;
  const MonotonicTime now = std::chrono::steady_clock::now();
  for (const GatewayTunnel& tunnel : context.tunnels) out.push_back(TunnelJson(tunnel, now));
  return out;
}

struct Sums {
  std::size_t tunnels = 0;
  std::size_t opening = 0;
};
Sums SumsOf(const GatewayContext& context) { return {context.tunnels.size(), context.opening}; }

Sample Counter(std::string name, std::string help, double value,
               std::vector<std::pair<std::string, std::string>> labels = {}) {
  return {.name = std::move(name),
          .help = std::move(help),
          .type = MetricType::kCounter,
          .labels = std::move(labels),
          .value = value};
}

// Of all nodes of a name: one that has another address since may still have tunnels to the old one.
struct NodeSums {
  double tunnels = 0, reached = 0, failed = 0, avoided = 0;
};

void AddNode(const std::string& name, const NodeSums& sums, std::vector<Sample>& samples) {
  const std::vector<std::pair<std::string, std::string>> labels{{"node", name}};
  samples.push_back({.name = "tombolo_gateway_tunnels",
                     .help = "Tunnels to a node at the moment.",
                     .labels = labels,
                     .value = sums.tunnels});
  samples.push_back(Counter("tombolo_gateway_tunnels_total", "Tunnels that reached a node.",
                            sums.reached, labels));
  samples.push_back(Counter("tombolo_gateway_dial_failures_total",
                            "Attempts that did not reach a node.", sums.failed, labels));
  samples.push_back({.name = "tombolo_gateway_node_avoided",
                     .help = "1 while a node is avoided because it could not be dialled.",
                     .labels = labels,
                     .value = sums.avoided});
}

void AddNodes(const gateway::Nodes& nodes, std::vector<Sample>& samples) {
  const MonotonicTime now = std::chrono::steady_clock::now();
  std::map<std::string, NodeSums> by_name;
  for (const auto& [key, node] : nodes.all()) {
    NodeSums& sums = by_name[node->name()];
    sums.tunnels += node->tunnels();
    sums.reached += static_cast<double>(node->reached());
    sums.failed += static_cast<double>(node->failed());
    if (node->avoided_until() > now) sums.avoided = 1;
  }
  for (const auto& [name, sums] : by_name) AddNode(name, sums, samples);
}

}  // namespace

absl::Status GatewayAgent::StartAdmin() {
  metrics_.Add(admin::ProcessMetrics);
  metrics_.Add([this] { return Samples(); });
  if (publishing_ != nullptr) metrics_.Add([this] { return publishing_->Samples(); });
  admin::Server::Options options;
  options.socket_path = config_.admin.socket;
  options.listen = config_.admin.listen;
  ASSIGN_OR_RETURN(admin_, admin::Server::Start(io_.get_executor(), options, MakeProviders()));
  return absl::OkStatus();
}

admin::Providers GatewayAgent::MakeProviders() {
  admin::Providers providers;
  providers.nouns["status"] = [this] { return Status(); };
  providers.nouns["tunnels"] = [this] { return Tunnels(); };
  providers.nouns["links"] = [this]() -> Awaitable<json::value> {
    co_return json::object{{"links", LinksJson(Links(), std::chrono::steady_clock::now())}};
  };
  providers.nouns["topology"] = [this]() -> Awaitable<json::value> { co_return Topology(); };
  providers.nouns["services"] = [this]() -> Awaitable<json::value> {
    co_return ServicesJson(*snapshot_, {});
  };
  providers.not_ready = [this] { return NotReady(); };
  providers.metrics = [this] { return metrics_.Text(); };
  return providers;
}

std::vector<std::string> GatewayAgent::NotReady() const {
  std::vector<std::string> reasons;
  if (stops_ > 0) reasons.emplace_back("draining");
  if (Own() == nullptr) {
    reasons.push_back(absl::StrCat("directory: cluster '", config_.cluster, "' has no gateway '",
                                   config_.node, "'"));
  }
  if (!config_.links.empty() &&
      LinkRules(*snapshot_, config_, identities_).Credentials() == nullptr) {
    reasons.emplace_back("links: this gateway has no valid SVID");
  }
  return reasons;
}

LinkViews GatewayAgent::Links() {
  return {.dialed = threads_.empty() ? std::vector<DialedLinkView>() : threads_[0]->dialed_links(),
          .dialed_counts = threads_.empty() ? DialedLinkCounts() : threads_[0]->dialed_counts(),
          .accepted = stock_.View(std::chrono::steady_clock::now()),
          .expected = LinkRules(*snapshot_, config_, identities_).from,
          .counts = stock_.counts()};
}

json::object GatewayAgent::Topology() {
  const SeenByGateway seen{*snapshot_, config_.cluster, nodes_, Links(),
                           publishing_ == nullptr ? std::set<std::string>() : publishing_->Away()};
  return TopologyJson(seen, std::chrono::steady_clock::now());
}

Awaitable<json::value> GatewayAgent::Status() {
  Sums sums;
  for (auto& thread : threads_) {
    const Sums one =
        co_await thread->Ask<Sums>([](GatewayThread& self) { return SumsOf(self.context()); });
    sums.tunnels += one.tunnels;
    sums.opening += one.opening;
  }
  json::object out = ProcessJson({config_, *snapshot_, started_at_, snapshot_loaded_at_,
                                  config_status_, directory_status_, NotReady(), threads_.size()});
  if (publishing_ != nullptr) out["shared_directory"] = publishing_->View();
  if (identities_ != nullptr) out["identities"] = IdentitiesJson(*identities_, nullptr);
  if (issuance_ != nullptr) out["authority"] = AuthorityJson(issuance_->View());
  out["gateway"] = json::object{{"listen", config_.gateway.listen.ToString()},
                                {"names", routes_},
                                {"tunnels", sums.tunnels},
                                {"opening", sums.opening},
                                {"nodes", NodesJson()},
                                {"links", LinksJson(Links(), std::chrono::steady_clock::now())}};
  co_return out;
}

json::array GatewayAgent::NodesJson() {
  nodes_.DropUnused();  // those of a directory that all threads have replaced by now
  json::array out;
  const MonotonicTime now = std::chrono::steady_clock::now();
  for (const auto& [key, node] : nodes_.all()) {
    const Duration avoided = std::max(node->avoided_until() - now, Duration::zero());
    out.push_back(json::object{{"name", node->name()},
                               {"address", node->address().ToString()},
                               {"zone", node->zone()},
                               {"tunnels", node->tunnels()},
                               {"reached", node->reached()},
                               {"failed", node->failed()},
                               {"avoided_for_ms", Milliseconds(avoided)}});
  }
  return out;
}

Awaitable<json::value> GatewayAgent::Tunnels() {
  json::array all;
  for (auto& thread : threads_) {
    json::array some = co_await thread->Ask<json::array>(
        [](GatewayThread& self) { return TunnelsOf(self.context()); });
    for (json::value& tunnel : some) all.push_back(std::move(tunnel));
  }
  co_return json::object{{"tunnels", std::move(all)}};
}

std::vector<Sample> GatewayAgent::Samples() {
  std::vector<Sample> samples;
  for (int i = 0; i < static_cast<int>(gateway::Refusal::kCount); ++i) {
    double sum = 0;
    for (const auto& thread : threads_) {
      sum += static_cast<double>(thread->counters().refused.counts[static_cast<std::size_t>(i)]);
    }
    samples.push_back(Counter("tombolo_gateway_refused_total",
                              "Connections that became no tunnel, by reason.", sum,
                              {{"reason", std::string(Name(static_cast<gateway::Refusal>(i)))}}));
  }
  for (int i = 0; i < static_cast<int>(LinkRefusal::kCount); ++i) {
    double sum = 0;
    for (const auto& thread : threads_) {
      sum +=
          static_cast<double>(thread->counters().links_refused.counts[static_cast<std::size_t>(i)]);
    }
    samples.push_back(Counter("tombolo_gateway_links_refused_total",
                              "Links that were dialled here and not accepted, by reason.", sum,
                              {{"reason", std::string(Name(static_cast<LinkRefusal>(i)))}}));
  }
  for (Sample& sample : LinkSamples(Links())) samples.push_back(std::move(sample));
  if (identities_ != nullptr) {
    for (Sample& sample : IdentitySamples(*identities_)) samples.push_back(std::move(sample));
  }
  if (issuance_ != nullptr) {
    for (Sample& sample : AuthoritySamples(issuance_->View())) samples.push_back(std::move(sample));
  }
  double accepted = 0, lost = 0;
  for (const auto& thread : threads_) {
    accepted += static_cast<double>(thread->counters().links_accepted);
    lost += static_cast<double>(thread->counters().links_lost);
  }
  samples.push_back(Counter("tombolo_gateway_links_accepted_total",
                            "Links that were dialled here and accepted.", accepted));
  lost += static_cast<double>(Links().dialed_counts.lost);
  samples.push_back(Counter("tombolo_gateway_links_lost_total",
                            "Links of either side that ended by themselves.", lost));
  double reset = 0, to_node = 0, from_node = 0;
  for (const auto& thread : threads_) {
    const GatewayCounters& counters = thread->counters();
    reset += static_cast<double>(counters.reset);
    to_node += static_cast<double>(counters.bytes.to_node);
    from_node += static_cast<double>(counters.bytes.from_node);
  }
  samples.push_back(
      Counter("tombolo_gateway_tunnels_reset_total", "Tunnels that ended by a reset.", reset));
  const std::string bytes = "tombolo_gateway_bytes_total";
  const std::string bytes_help = "Bytes moved, of running tunnels, too.";
  samples.push_back(Counter(bytes, bytes_help, to_node, {{"direction", "to_node"}}));
  samples.push_back(Counter(bytes, bytes_help, from_node, {{"direction", "from_node"}}));
  nodes_.DropUnused();  // those of a directory that all threads have replaced by now
  AddNodes(nodes_, samples);
  return samples;
}

}  // namespace tombolo::agent
