// SPDX-License-Identifier: Apache-2.0
#include "agent/explain.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <utility>

#include <boost/json/array.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/outbound.h"
#include "agent/request.h"
#include "agent/route.h"
#include "agent/views.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "source/values.h"
#include "tls/credentials.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;

template <typename Unit>
std::int64_t Count(Duration duration) {
  return std::chrono::duration_cast<Unit>(duration).count();
}

// Splits "shop/web:80"; an address has no '/'.
absl::StatusOr<mesh::ServiceRef> FindByName(const mesh::Snapshot& snapshot, absl::string_view to) {
  const std::size_t colon = to.rfind(':');
  if (colon == absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("'", to, "' has no port; say service:port"));
  }
  ASSIGN_OR_RETURN(const std::uint16_t port, source::ParsePort(to.substr(colon + 1)));
  const absl::string_view name = to.substr(0, colon);
  mesh::ServiceRef found{.service = snapshot.FindService(name)};
  if (found.service == nullptr) {
    return absl::NotFoundError(absl::StrCat("no service '", name, "' in the directory"));
  }
  found.port = found.service->FindPort(port);
  if (found.port == nullptr) {
    return absl::NotFoundError(absl::StrCat("service '", name, "' has no port ", port));
  }
  return found;
}

// A step, and what of it keeps the connection from being carried.
class Steps {
 public:
  void Pass(const char* name, std::string detail) {
    steps_.push_back(StepJson(name, true, std::move(detail)));
  }
  void Fail(const char* name, Refusal reason, absl::string_view how, absl::string_view detail) {
    steps_.push_back(StepJson(name, false, absl::StrCat(detail, "; ", how)));
    if (reason_.empty()) reason_ = std::string(Name(reason));
  }
  const std::string& reason() const { return reason_; }
  json::array Take() { return std::move(steps_); }

 private:
  json::array steps_;
  std::string reason_;
};

constexpr char kReset[] = "the connection is reset";

void CheckTarget(const World& world, const Supposed& supposed, const Parties& parties,
                 Steps& steps) {
  if (parties.target.service == nullptr) {
    const auto& imports = world.snapshot->imports;
    const bool reserved =
        imports && std::ranges::any_of(imports->vips, [&](const net::Prefix& range) {
          return range.Contains(parties.vip.ip);
        });
    steps.Fail("service", Refusal::kUnknownService,
               reserved ? "in imports.vips: connect() fails with ECONNREFUSED"
                        : "it is not captured, and goes on as without Tombolo",
               absl::StrCat("no service has the address ", supposed.to));
    return;
  }
  const std::string name =
      absl::StrCat(parties.target.service->FullName(), " port ", parties.target.port->port);
  if (parties.vip.port == 0) {
    steps.Fail("service", Refusal::kUnknownService, "nothing leads to it",
               absl::StrCat(name, " has no VIP"));
    return;
  }
  steps.Pass("service", absl::StrCat(name, " is ", parties.vip.ToString()));
}

void CheckSource(const Context& context, Request& request, Steps& steps) {
  const policy::Decision decision = MayConnect(request);
  if (decision.allowed) {
    steps.Pass("policy", decision.reason);
  } else {
    steps.Fail("policy", Refusal::kDenied, "connect() fails with EACCES", decision.reason);
  }
  if (const std::optional<Refused> refused = FindCredentials(request)) {
    steps.Fail("identity", refused->reason, kReset, refused->status.message());
  } else {
    steps.Pass("identity", absl::StrCat(request.source->id.text(), ", its SVID holds until ",
                                        Rfc3339(request.credentials->not_after())));
  }
  const std::uint32_t limit = request.world->limits.connections_per_workload;
  const std::uint32_t held = context.quotas.connections.held(request.source->name);
  const std::string share = absl::StrCat(held, " of ", limit, " connections");
  if (held >= limit) {
    steps.Fail("limit", Refusal::kConnectionLimit, kReset,
               absl::StrCat(share, " (limits.connections_per_workload)"));
  } else {
    steps.Pass("limit", share);
  }
}

json::object ClusterJson(const balance::ClusterStanding& cluster) {
  json::object out{{"name", cluster.name},
                   {"endpoints", cluster.all},
                   {"ready", cluster.ready},
                   {"in_use", cluster.in_use},
                   {"weight", cluster.weight},
                   {"draining", cluster.draining},
                   {"ejected", cluster.ejected},
                   {"ejected_for_ms", Count<std::chrono::milliseconds>(cluster.ejected_for)}};
  if (cluster.round_trip) {
    out["round_trip_us"] = Count<std::chrono::microseconds>(*cluster.round_trip);
  }
  return out;
}

json::array TiersJson(const balance::Explanation& explanation) {
  json::array tiers;
  for (const balance::TierStanding& tier : explanation.tiers) {
    json::array clusters;
    for (const auto& cluster : tier.clusters) clusters.push_back(ClusterJson(cluster));
    tiers.push_back(json::object{{"tier", tier.tier},
                                 {"name", std::string(tier.name)},
                                 {"share_percent", std::lround(tier.share * 100)},
                                 {"clusters", std::move(clusters)}});
  }
  return tiers;
}

json::object AttemptJson(const Context& context, const Request& request, balance::Choice choice) {
  const mesh::Snapshot& snapshot = *request.world->snapshot;
  const mesh::Endpoint& endpoint = request.target.port->endpoints[choice.endpoint];
  json::object out{{"cluster", endpoint.cluster},
                   {"endpoint", endpoint.Where()},
                   {"identity", endpoint.identity.text()},
                   {"choice", choice.why.ToString()}};
  const auto route = RouteTo(snapshot, request.source->id, request.target, choice);
  if (!route.ok()) {
    out["error"] = std::string(route.status().message());
    return out;
  }
  const tunnel::Tunnel* idle = context.pool.Next(route->pool_key);
  const std::string way = idle == nullptr ? route->address.ToString() : idle->peer_address;
  GoThrough(snapshot, endpoint, way, choice);
  out["idle_tunnel"] = idle != nullptr;
  out["way"] = way;
  if (choice.gateway) {
    const mesh::Gateway& gateway = snapshot.FindCluster(endpoint.cluster)->ways[*choice.gateway];
    out["gateway"] = gateway.name;
    if (!gateway.via.empty()) out["via"] = gateway.via;
  } else {
    out["node"] = endpoint.node;
  }
  return out;
}

// As balance::Balancer::Pick() is asked by an application's connection.
void Choose(const Context& context, const Request& request, Steps& steps, json::object& out) {
  const balance::Explanation explanation =
      context.balancer.Explain({request.world->snapshot.get(), request.target, request.client.ip},
                               kMaxAttempts, std::chrono::steady_clock::now());
  json::array attempts;
  for (const balance::Choice& choice : explanation.choices) {
    attempts.push_back(AttemptJson(context, request, choice));
  }
  if (explanation.choices.empty()) {
    steps.Fail("endpoint", Refusal::kNoEndpoint, "connect() fails with ECONNREFUSED",
               "no endpoint is ready");
  } else {
    steps.Pass("endpoint", absl::StrCat(std::string(attempts[0].at("endpoint").as_string()), ", ",
                                        explanation.choices[0].why.ToString()));
  }
  out["panic"] = explanation.panic;
  out["tiers"] = TiersJson(explanation);
  out["attempts"] = std::move(attempts);
}

// As a captured connection's is found.
net::IpAddress AddressOf(Context& context, const Parties& parties) {
  const net::IpAddress& vip = parties.vip.ip;
  return context.sources.Of(*context.world, *parties.source, vip,
                            net::IpAddress::Loopback(/*ipv6=*/!vip.is_v4()), context.own_namespace,
                            std::chrono::steady_clock::now());
}

}  // namespace

json::object StepJson(const char* name, bool ok, std::string detail) {
  return {{"step", name}, {"ok", ok}, {"detail", std::move(detail)}};
}

absl::StatusOr<Parties> FindParties(const mesh::Snapshot& snapshot, const Settings& settings,
                                    const Supposed& supposed) {
  Parties parties{.source = snapshot.FindWorkload(supposed.workload)};
  if (parties.source == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("no workload '", supposed.workload, "' in the directory"));
  }
  if (parties.source->cluster != settings.cluster || parties.source->node != settings.node) {
    return absl::InvalidArgumentError(absl::StrCat("workload '", supposed.workload, "' is on node ",
                                                   parties.source->cluster, "/",
                                                   parties.source->node, ": ask its agent"));
  }
  if (absl::StrContains(supposed.to, '/')) {
    ASSIGN_OR_RETURN(parties.target, FindByName(snapshot, supposed.to));
    const auto& vips = parties.target.service->vips;
    if (!vips.empty()) parties.vip = {vips.front(), parties.target.port->port};
    return parties;
  }
  ASSIGN_OR_RETURN(parties.vip, net::SocketAddress::Parse(supposed.to));
  parties.target = snapshot.FindVip(parties.vip);
  return parties;
}

json::object ExplainOn(Context& context, const Supposed& supposed) {
  json::object out;
  const absl::StatusOr<Parties> parties =
      FindParties(*context.world->snapshot, context.settings, supposed);
  if (!parties.ok()) {  // the directory has changed since it was looked at
    out["error"] = std::string(parties.status().message());
    return out;
  }
  Steps steps;
  CheckTarget(*context.world, supposed, *parties, steps);
  if (parties->target.service != nullptr) {
    Request request;
    request.world = context.world;
    request.client.ip =
        supposed.client.is_unspecified() ? AddressOf(context, *parties) : supposed.client;
    request.vip = parties->vip;
    request.source = parties->source;
    request.target = parties->target;
    CheckSource(context, request, steps);
    Choose(context, request, steps, out);
  }
  if (context.draining) {
    steps.Fail("agent", Refusal::kDraining, "connect() fails with ECONNREFUSED",
               "this agent is shutting down");
  }
  out["reason"] = steps.reason();
  out["steps"] = steps.Take();
  return out;
}

}  // namespace tombolo::agent
