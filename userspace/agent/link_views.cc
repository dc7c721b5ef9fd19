// SPDX-License-Identifier: Apache-2.0
#include "agent/link_views.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>

#include <boost/json/object.hpp>

namespace tombolo::agent {
namespace {

namespace json = boost::json;
using admin::MetricType;
using admin::Sample;

std::int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

// What has never been heard of has no age.
void AddHeard(const link::HeardAt& heard_at, MonotonicTime now, json::object& out) {
  if (heard_at != nullptr) out["heard_ms"] = Milliseconds(now - heard_at->load());
}

json::object Json(const DialedLinkView& link, MonotonicTime now) {
  json::object out{{"role", "dialer"},
                   {"cluster", link.target.cluster},
                   {"gateway", link.target.gateway},
                   {"address", link.target.address.ToString()},
                   {"state", link.up ? "up" : "down"},
                   {"since_ms", Milliseconds(now - link.since)},
                   {"error", link.error},
                   {"spares", link.spares},
                   {"attempts", link.attempts},
                   {"lost", link.lost},
                   {"spares_opened", link.spares_opened},
                   {"spares_failed", link.spares_failed},
                   {"tunnels", link.tunnels}};
  AddHeard(link.heard_at, now, out);
  if (link.next_dial) {
    out["next_dial_ms"] = Milliseconds(std::max(*link.next_dial - now, Duration::zero()));
  }
  return out;
}

json::object Json(const link::Stock::LinkView& link, MonotonicTime now) {
  json::object out{{"role", "acceptor"},
                   {"cluster", link.cluster},
                   {"gateway", link.gateway},
                   {"state", "up"},
                   {"since_ms", Milliseconds(now - link.since)},
                   {"spares", link.spares},
                   {"spares_wanted", link.wanted},
                   {"tokens", link.tokens},
                   {"tunnels", link.taken}};
  AddHeard(link.heard_at, now, out);
  return out;
}

// Those that the directory has and that are not there.
std::set<std::pair<std::string, std::string>> Missing(const LinkViews& views) {
  auto missing = views.expected;
  for (const link::Stock::LinkView& link : views.accepted) {
    missing.erase({link.cluster, link.gateway});
  }
  return missing;
}

// Of all links of one cluster.
struct Sums {
  double up = 0, spares = 0;
};
using ByCluster = std::map<std::pair<std::string, std::string>, Sums>;  // role, cluster

void AddGauges(const ByCluster& sums, std::vector<Sample>& samples) {
  for (const auto& [name, sum] : sums) {
    const std::vector<std::pair<std::string, std::string>> labels{{"role", name.first},
                                                                  {"cluster", name.second}};
    samples.push_back({.name = "tombolo_gateway_links",
                       .help = "Links with a cluster's gateways that are up.",
                       .labels = labels,
                       .value = sum.up});
    samples.push_back({.name = "tombolo_gateway_link_spares",
                       .help = "Connections over links that wait for a tunnel.",
                       .labels = labels,
                       .value = sum.spares});
  }
}

void AddCounter(std::string name, std::string help, double value,
                std::vector<std::pair<std::string, std::string>> labels,
                std::vector<Sample>& samples) {
  samples.push_back({.name = std::move(name),
                     .help = std::move(help),
                     .type = MetricType::kCounter,
                     .labels = std::move(labels),
                     .value = value});
}

}  // namespace

json::array LinksJson(const LinkViews& views, MonotonicTime now) {
  json::array out;
  for (const DialedLinkView& link : views.dialed) out.push_back(Json(link, now));
  for (const link::Stock::LinkView& link : views.accepted) out.push_back(Json(link, now));
  for (const auto& [cluster, gateway] : Missing(views)) {
    out.push_back(json::object{
        {"role", "acceptor"}, {"cluster", cluster}, {"gateway", gateway}, {"state", "down"}});
  }
  return out;
}

std::vector<Sample> LinkSamples(const LinkViews& views) {
  std::vector<Sample> samples;
  ByCluster sums;
  // A 0 for those that have none: an alert needs one.
  for (const auto& [cluster, gateway] : views.expected) sums[{"acceptor", cluster}];
  for (const DialedLinkView& link : views.dialed) {
    Sums& sum = sums[{"dialer", link.target.cluster}];
    sum.up += link.up ? 1 : 0;
    sum.spares += static_cast<double>(link.spares);
  }
  for (const link::Stock::LinkView& link : views.accepted) {
    Sums& sum = sums[{"acceptor", link.cluster}];
    sum.up += 1;
    sum.spares += static_cast<double>(link.spares);
  }
  AddGauges(sums, samples);
  const std::string tunnels = "tombolo_gateway_link_tunnels_total";
  const std::string tunnels_help = "Tunnels that took a spare, and tunnels that came on one.";
  AddCounter(tunnels, tunnels_help, static_cast<double>(views.dialed_counts.tunnels),
             {{"role", "dialer"}}, samples);
  AddCounter(tunnels, tunnels_help, static_cast<double>(views.counts.taken), {{"role", "acceptor"}},
             samples);
  AddCounter("tombolo_gateway_link_spares_total", "Spares whose token was good.",
             static_cast<double>(views.counts.redeemed), {}, samples);
  samples.push_back({.name = "tombolo_gateway_link_waiting",
                     .help = "Tunnels that wait for a spare.",
                     .value = static_cast<double>(views.counts.waiting)});
  for (std::size_t i = 0; i < static_cast<std::size_t>(link::TokenRefusal::kCount); ++i) {
    AddCounter("tombolo_gateway_link_tokens_refused_total",
               "Spares that were refused for their token, by reason.",
               static_cast<double>(views.counts.refused[i]),
               {{"reason", std::string(Name(static_cast<link::TokenRefusal>(i)))}}, samples);
  }
  return samples;
}

}  // namespace tombolo::agent
