// SPDX-License-Identifier: Apache-2.0
#include "agent/request.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/rate_limited_log.h"
#include "net/socket.h"

namespace tombolo::agent {
namespace {

// Nothing is known of such a connection but where it came from.
void LogNotCaptured(const Request& request, const absl::Status& status) {
  World::Namespace ns;
  const auto& namespaces = request.world->namespaces;
  if (const auto at = namespaces.find(request.netns_cookie); at != namespaces.end()) {
    ns = at->second;
  }
  log::WriteLimited(log::Level::kInfo, "connection refused", Name(Refusal::kNotCaptured),
                    {{"reason", Name(Refusal::kNotCaptured)},
                     {"netns", ns.path},
                     {"workload", ns.workload},
                     {"client", request.client.ToString()},
                     {"local", request.local.ToString()},
                     {"detail", status}});
}

}  // namespace

std::optional<Refused> Resolve(Context& context, int fd, Request& request) {
  request.world = context.world;
  const World& world = *request.world;
  const auto client = net::PeerAddress(fd);
  const auto local = net::LocalAddress(fd);
  if (!client.ok()) return Refused{Refusal::kApplicationGone, client.status()};
  if (!local.ok()) return Refused{Refusal::kApplicationGone, local.status()};
  request.client = *client;
  request.local = *local;
  auto original = context.datapath.TakeOriginalDestination(request.netns_cookie, *client, *local);
  if (!original.ok()) return Refused{Refusal::kNotCaptured, original.status()};
  request.vip = original->destination;
  const auto source = world.workload_by_cgroup.find(original->cgroup_id);
  if (source == world.workload_by_cgroup.end()) {
    return Refused{Refusal::kUnknownSource,
                   absl::NotFoundError(absl::StrCat("cgroup ", original->cgroup_id))};
  }
  request.source = source->second;
  request.client.ip = context.sources.Of(world, *request.source, request.vip.ip, request.client.ip,
                                         context.own_namespace, std::chrono::steady_clock::now());
  request.target = world.snapshot->FindVip(request.vip);
  if (request.target.service == nullptr) {
    return Refused{Refusal::kUnknownService, absl::NotFoundError("no service has this address")};
  }
  return std::nullopt;
}

const ServiceCountersPtr& CountersOf(Context& context, const Request& request,
                                     absl::string_view to) {
  return context.services.Of({.role = tunnel::Role::kDialer,
                              .from = context.settings.cluster,
                              .to = to,
                              .service = request.target.service->FullName()});
}

policy::Decision MayConnect(const Request& request) {
  return policy::Authorize(*request.world->snapshot, request.source->id,
                           request.target.service->FullName(), request.target.port->port);
}

std::optional<Refused> FindCredentials(Request& request) {
  auto credentials = request.world->CredentialsOf(request.source->id);
  if (!credentials.ok()) return Refused{Refusal::kNoCredentials, credentials.status()};
  request.credentials = *std::move(credentials);
  return std::nullopt;
}

std::optional<Refused> Authorize(Context& context, Request& request) {
  const policy::Decision decision = MayConnect(request);
  if (!decision.allowed) {
    return Refused{Refusal::kDenied, absl::PermissionDeniedError(decision.reason)};
  }
  if (std::optional<Refused> refused = FindCredentials(request)) return refused;
  const World& world = *request.world;
  absl::StatusOr<Quota::Share> share =
      context.quotas.connections.Take(request.source->name, world.limits.connections_per_workload);
  if (!share.ok()) {
    return Refused{Refusal::kConnectionLimit,
                   Annotate(share.status(), "limits.connections_per_workload")};
  }
  request.share = *std::move(share);
  return std::nullopt;
}

void Report(Context& context, const Request& request, const Refused& refused) {
  context.counters.dialed_refused.Add(refused.reason);
  if (request.target.service != nullptr) {
    CountersOf(context, request, request.cluster)->refused.Add(refused.reason);
  }
  if (refused.reason == Refusal::kNotCaptured) return LogNotCaptured(request, refused.status);
  const mesh::Workload* source = request.source;
  const mesh::Service* target = request.target.service;
  log::WriteLimited(log::Level::kInfo, "connection refused", Name(refused.reason),
                    {{"reason", Name(refused.reason)},
                     {"source", source == nullptr ? "" : source->id.text()},
                     {"service", target == nullptr ? "" : target->FullName()},
                     {"client", request.client.ToString()},
                     {"destination", request.vip.port == 0 ? "" : request.vip.ToString()},
                     {"id", absl::BytesToHexString(request.id)},
                     {"detail", refused.status}});
}

}  // namespace tombolo::agent
