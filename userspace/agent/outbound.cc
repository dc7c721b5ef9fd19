// SPDX-License-Identifier: Apache-2.0
#include "agent/outbound.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "agent/carried_outbound.h"
#include "agent/request.h"
#include "agent/reserve_descriptor.h"
#include "agent/route.h"
#include "agent/tunnel_end.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "net/wan_options.h"
#include "tls/digest.h"
#include "tunnel/open.h"

namespace tombolo::agent {
namespace {

namespace proto = tunnel::proto;
using tunnel::OpenOutcome;
using tunnel::Tunnel;

constexpr Duration kTrustedIdle = std::chrono::seconds(5);
constexpr int kMaxExcused = 4;

class Outbound {
 public:
  Outbound(Context& context, Fd client, std::uint64_t netns_cookie);

  Awaitable<void> Run();
  // Instead of Run(): `why` keeps it from being carried.
  void Refuse(absl::Status why);

 private:
  Awaitable<std::optional<Refused>> OpenSomewhere(net::AsyncFd& plain);
  // `latest` is that of the whole connection.
  Awaitable<OpenOutcome> Attempt(const Route& route, net::AsyncFd& plain, MonotonicTime latest);
  void ReportRoundTrip(const Route& route, MonotonicTime now);
  Awaitable<absl::StatusOr<std::unique_ptr<Tunnel>>> Dial(const Route& route,
                                                          MonotonicTime deadline);
  MonotonicTime AttemptDeadline(MonotonicTime latest) const {
    return std::min(latest, After(context_.world->deadlines.dial));
  }
  // An idle tunnel for `route`, if there is one. It may lead through another gateway than was
  // chosen: then the choice is that one.
  void TakeIdle(const Route& route, balance::Choice& choice);
  proto::Open MakeOpen(const mesh::Endpoint& endpoint) const;

  Context& context_;
  Fd client_;
  Request request_;
  std::optional<ConnectionTable::Entry> entry_;
  balance::Balancer::Attempt attempt_;  // the one that opened
  std::unique_ptr<Tunnel> tunnel_;
  bool tunnel_is_new_ = false;
  bool had_tunnel_ = false;  // the last attempt, whatever became of it
  std::size_t early_ = 0;    // bytes sent with OPEN
  std::string way_;          // where the last attempt's tunnel leads: a node's or gateway's address
  // Tunnels to nodes whose endpoints have refused this connection. The next attempt must not
  // get them out of the pool again.
  std::vector<std::unique_ptr<Tunnel>> refused_;
};

Outbound::Outbound(Context& context, Fd client, std::uint64_t netns_cookie)
    : context_(context), client_(std::move(client)) {
  const auto id = tls::Random128();
  request_.id.assign(id.begin(), id.end());
  request_.netns_cookie = netns_cookie;
}

void Outbound::Refuse(absl::Status why) {
  // Also takes what the hook has stored for it.
  (void)Resolve(context_, client_.get(), request_);
  Report(context_, request_, {Refusal::kResources, std::move(why)});
}

void Outbound::TakeIdle(const Route& route, balance::Choice& choice) {
  tunnel_ = context_.pool.Take(route.pool_key);
  tunnel_is_new_ = tunnel_ == nullptr;
  way_ = tunnel_is_new_ ? route.address.ToString() : tunnel_->peer_address;
  GoThrough(*request_.world->snapshot, *route.endpoint, way_, choice);
}

proto::Open Outbound::MakeOpen(const mesh::Endpoint& endpoint) const {
  proto::Open open;
  open.set_connection_id(request_.id);
  open.set_service(request_.target.service->FullName());
  open.set_port(request_.target.port->port);
  ToProto(request_.client, *open.mutable_source());
  NameEndpoint(endpoint, open);
  return open;
}

Awaitable<absl::StatusOr<std::unique_ptr<Tunnel>>> Outbound::Dial(const Route& route,
                                                                  MonotonicTime deadline) {
  CO_ASSIGN_OR_RETURN(Fd socket, net::TcpSocket(route.address));
  if (!context_.quotas.reserve.Keep()) co_return ReserveNeeded();
  net::SetKeepAlive(socket.get());
  if (route.endpoint->behind_gateways()) net::SetWanOptions(socket.get(), context_.settings.wan);
  CO_ASSIGN_OR_RETURN(
      net::AsyncFd connected,
      co_await net::Connect(context_.poller, std::move(socket), route.address, deadline));
  absl::StatusOr<tls::Session> session = co_await tls::HandshakeAsClient(
      std::move(connected), request_.credentials, route.server_name, route.endpoint->identity,
      context_.records, std::min(deadline, After(context_.world->deadlines.handshake)));
  if (!session.ok()) {
    context_.counters.dialed_handshake_failures.Add(tls::ReasonOf(session.status()));
    co_return Annotate(session.status(), absl::StrCat("handshake with ", route.address.ToString()));
  }
  Add(context_.counters.tunnels_dialed);
  auto tunnel = std::make_unique<Tunnel>(*std::move(session), tunnel::Role::kDialer);
  tunnel->peer_address = route.address.ToString();
  tunnel->pool_key = route.pool_key;
  tunnel->service = request_.target.service->FullName();
  tunnel->port = request_.target.port->port;
  tunnel->credentials = request_.credentials;
  co_return tunnel;
}

// Whether a failed dial may be tried elsewhere: the network's failures may, what
// certificates say may not, and this process's own have nothing to do with where.
OpenOutcome DialFailed(const absl::Status& status) {
  if (OutOfDescriptors(status)) return {OpenOutcome::Kind::kNotTried, status};
  switch (tls::ReasonOf(status)) {
    case tls::HandshakeFailure::kNone:
    case tls::HandshakeFailure::kTimeout:
    case tls::HandshakeFailure::kTransport:
    case tls::HandshakeFailure::kUnknownName:  // it does not serve this, or cannot for now
      return {OpenOutcome::Kind::kNotSent, status};
    case tls::HandshakeFailure::kKernelTls:  // this node's kernel
      return {OpenOutcome::Kind::kNotTried, status};
    default:
      return {OpenOutcome::Kind::kDenied, status};
  }
}

// A tunnel that has been silent for long may be dead without anybody having said so. Bytes
// that were sent into it could not be sent again elsewhere.
bool FreshEnough(const Tunnel& tunnel) {
  return std::chrono::steady_clock::now() - tunnel.heard_at < kTrustedIdle;
}

Awaitable<OpenOutcome> Outbound::Attempt(const Route& route, net::AsyncFd& plain,
                                         MonotonicTime latest) {
  had_tunnel_ = !tunnel_is_new_;
  MonotonicTime deadline = AttemptDeadline(latest);
  if (tunnel_is_new_) {
    absl::StatusOr<DialSlots::Slot> slot = co_await context_.dials.Take(latest);
    if (!slot.ok()) co_return OpenOutcome{OpenOutcome::Kind::kNotTried, slot.status()};
    deadline = AttemptDeadline(latest);  // waiting was not the endpoint's doing
    auto dialed = co_await Dial(route, deadline);
    if (!dialed.ok()) co_return DialFailed(dialed.status());
    tunnel_ = *std::move(dialed);
    had_tunnel_ = true;
  } else {
    Add(context_.counters.tunnels_reused);
  }
  const bool send_early = tunnel_is_new_ || FreshEnough(*tunnel_);
  OpenOutcome outcome = co_await tunnel::OpenConnection(*tunnel_, MakeOpen(*route.endpoint), plain,
                                                        context_.buffers, deadline, send_early);
  if (absl::IsInvalidArgument(outcome.status)) {
    ReportEnd(context_.counters, *tunnel_, outcome.status);
  }
  early_ = outcome.early;
  if (outcome.kind == OpenOutcome::Kind::kOpened) co_return outcome;
  if (outcome.kind == OpenOutcome::Kind::kRefused && route.endpoint->behind_gateways()) {
    refused_.push_back(std::move(tunnel_));
  } else {
    KeepTunnel(context_, std::move(tunnel_));
  }
  co_return outcome;
}

// Whether a tunnel that ended before RESULT says nothing about its endpoint: it died in the pool,
// or the peer ended it in order because the SVID that it was made with has just been replaced.
// Silence excuses nothing: the way is as likely to be dead as the tunnel.
bool Excusable(const OpenOutcome& outcome, bool new_tunnel) {
  return outcome.kind == OpenOutcome::Kind::kNotSent && !absl::IsDeadlineExceeded(outcome.status) &&
         (!new_tunnel || absl::IsOutOfRange(outcome.status));
}

// An acceptor says so when its endpoint does not answer: silence is the way's.
balance::Failure WhatFailed(const OpenOutcome& outcome, bool had_tunnel) {
  const bool answered = outcome.kind == OpenOutcome::Kind::kRefused ||
                        tls::ReasonOf(outcome.status) == tls::HandshakeFailure::kUnknownName;
  const bool silent = absl::IsDeadlineExceeded(outcome.status);
  return answered || (had_tunnel && !silent) ? balance::Failure::kEndpoint : balance::Failure::kWay;
}

Refused ToRefused(const OpenOutcome& outcome) {
  switch (outcome.kind) {
    case OpenOutcome::Kind::kDenied:
      return {tls::ReasonOf(outcome.status) == tls::HandshakeFailure::kNone ? Refusal::kDenied
                                                                            : Refusal::kCertificate,
              outcome.status};
    case OpenOutcome::Kind::kUncertain:
      return {Refusal::kUncertain, outcome.status};
    case OpenOutcome::Kind::kNotTried:
      return {Refusal::kResources, outcome.status};
    case OpenOutcome::Kind::kPlainFailed:
      return {Refusal::kApplicationGone, outcome.status};
    default:
      return {Refusal::kUnavailable, outcome.status};
  }
}

// How far away another cluster is, TCP knows after a handshake; unless it ends half-way, where a
// link begins: then PING will tell.
void Outbound::ReportRoundTrip(const Route& route, MonotonicTime now) {
  const std::string& cluster = route.endpoint->cluster;
  if (!tunnel_is_new_ || route.linked || cluster == context_.settings.cluster) return;
  const auto tcp = net::ReadTcpState(tunnel_->stream().socket().get());
  if (tcp.ok()) context_.balancer.OnRoundTrip(cluster, tcp->round_trip, now);
}

// Tries endpoints until one opens, none is left, or time is up. On success
// tunnel_ is set.
Awaitable<std::optional<Refused>> Outbound::OpenSomewhere(net::AsyncFd& plain) {
  const MonotonicTime deadline = After(context_.world->deadlines.connect);
  Refused last{Refusal::kNoEndpoint, absl::UnavailableError("the service has no ready endpoint")};
  const balance::Wanted wanted{request_.world->snapshot.get(), request_.target, request_.client.ip};
  std::vector<balance::Tried> tried;
  int excused = 0;
  while (tried.size() < kMaxAttempts && std::chrono::steady_clock::now() < deadline) {
    const MonotonicTime begun = std::chrono::steady_clock::now();
    std::optional<balance::Choice> choice = context_.balancer.Pick(wanted, tried, begun);
    if (!choice) break;
    const mesh::Endpoint& endpoint = request_.target.port->endpoints[choice->endpoint];
    const absl::StatusOr<Route> route =
        RouteTo(*wanted.snapshot, request_.source->id, request_.target, *choice);
    if (!route.ok()) co_return Refused{Refusal::kNoEndpoint, route.status()};
    TakeIdle(*route, *choice);
    balance::Balancer::Attempt attempt = context_.balancer.Begin(wanted, *choice, begun);
    request_.cluster = endpoint.cluster;
    (*entry_)->endpoint = endpoint.Where();
    (*entry_)->server = endpoint.identity;
    (*entry_)->why = choice->why;
    if (!tried.empty()) Add(context_.counters.retries);
    const OpenOutcome outcome = co_await Attempt(*route, plain, deadline);
    if (outcome.kind == OpenOutcome::Kind::kOpened) {
      const MonotonicTime now = std::chrono::steady_clock::now();
      attempt.OnConnected(now - begun, now);
      ReportRoundTrip(*route, now);
      attempt_ = std::move(attempt);
      (*entry_)->counters = CountersOf(context_, request_);
      co_return std::nullopt;
    }
    last = ToRefused(outcome);
    const balance::Failure what = WhatFailed(outcome, had_tunnel_);
    const auto hold_against_it = [&] {
      attempt.OnFailure(what, std::chrono::steady_clock::now());
      Add(CountersOf(context_, request_)->attempts_failed);
    };
    if (outcome.kind == OpenOutcome::Kind::kUncertain) hold_against_it();
    if (!outcome.retriable()) co_return last;
    // Those that were idle for longer on the same way are no better.
    if (outcome.kind == OpenOutcome::Kind::kNotSent) {
      context_.pool.DiscardIf([&](const Tunnel& tunnel) {
        return tunnel.pool_key == route->pool_key && tunnel.peer_address == way_;
      });
    }
    if (Excusable(outcome, tunnel_is_new_) && excused < kMaxExcused) {
      ++excused;
      continue;
    }
    hold_against_it();
    tried.push_back({*choice, what});
    log::Debug(
        "attempt failed",
        {{"id", (*entry_)->id}, {"endpoint", (*entry_)->endpoint}, {"reason", outcome.status}});
  }
  co_return last;
}

Awaitable<void> Outbound::Run() {
  std::optional<Refused> refused = Resolve(context_, client_.get(), request_);
  if (!refused) refused = Authorize(context_, request_);
  if (refused) {
    Report(context_, request_, *refused);
    co_return;
  }
  Connection connection;
  connection.id = absl::BytesToHexString(request_.id);
  connection.source = request_.source->id;
  connection.source_address = request_.client;
  connection.service = request_.target.service->FullName();
  connection.port = request_.target.port->port;
  entry_.emplace(context_.connections, std::move(connection));
  auto plain = net::AsyncFd::Adopt(context_.poller, std::move(client_));
  if (!plain.ok()) {
    Report(context_, request_, {Refusal::kResources, plain.status()});
    co_return;
  }
  refused = co_await OpenSomewhere(*plain);
  for (std::unique_ptr<Tunnel>& tunnel : refused_) KeepTunnel(context_, std::move(tunnel));
  // What was allowed when it began may have been forbidden meanwhile.
  if (!refused) {
    (*entry_)->tunnel = tunnel_.get();  // whose peer may be revoked by now
    absl::Status allowed = StillAllowed(*context_.world, **entry_);
    if (!allowed.ok()) refused = Refused{Refusal::kDenied, std::move(allowed)};
  }
  if (refused) {
    (*entry_)->tunnel = nullptr;
    Report(context_, request_, *refused);
    if (tunnel_ != nullptr) context_.pool.Discard(std::move(tunnel_));
    co_return;
  }
  CarryOutbound(context_, *std::move(entry_), *std::move(plain),
                {std::move(tunnel_), early_, std::move(attempt_), std::move(request_.share)});
}

}  // namespace

Awaitable<void> ServeApplication(Context& context, Fd client, std::uint64_t netns_cookie) {
  Outbound outbound(context, std::move(client), netns_cookie);
  co_await outbound.Run();
}

void RefuseApplication(Context& context, Fd client, std::uint64_t netns_cookie, absl::Status why) {
  Outbound(context, std::move(client), netns_cookie).Refuse(std::move(why));
}

}  // namespace tombolo::agent
