// SPDX-License-Identifier: Apache-2.0
#include "agent/outbound.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "agent/attempt_outcome.h"
#include "agent/carried_outbound.h"
#include "agent/dial_race.h"
#include "agent/idle_tunnels.h"
#include "agent/request.h"
#include "agent/reserve_descriptor.h"
#include "agent/route.h"
#include "agent/tunnel_end.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "net/socket.h"
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
  // Where to go next, or why nowhere. Takes an idle tunnel that leads there, if there is one.
  absl::StatusOr<Candidate> Choose();
  // Beside `slow` and what was tried before.
  std::optional<Candidate> Another(const Candidate& slow);
  DialRaceRules RaceRules();
  void Show(const Candidate& candidate);
  // May go to another candidate, if that one is connected first.
  Awaitable<OpenOutcome> Attempt(Candidate& candidate, net::AsyncFd& plain);
  Awaitable<absl::Status> Dial(Candidate& candidate);
  Awaitable<absl::StatusOr<net::AsyncFd>> Connect(Candidate& candidate);
  void HoldAgainst(Candidate& candidate, balance::Failure what);
  void DiscardIdle(const Candidate& candidate, const absl::Status& why);
  void Tried(const Candidate& candidate, balance::Failure what, bool only_slow = false);
  void ForgetWay(const Candidate& candidate);
  proto::Open MakeOpen(const mesh::Endpoint& endpoint) const;

  Context& context_;
  Fd client_;
  Request request_;
  std::optional<ConnectionTable::Entry> entry_;
  MonotonicTime deadline_;  // of all attempts
  balance::Wanted wanted_;
  std::vector<balance::Tried> tried_;
  balance::Balancer::Attempt attempt_;  // the one that opened
  std::unique_ptr<Tunnel> tunnel_;
  bool had_tunnel_ = false;  // the last attempt, whatever became of it
  std::size_t early_ = 0;    // bytes sent with OPEN
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

absl::StatusOr<Candidate> Outbound::Choose() {
  const MonotonicTime now = std::chrono::steady_clock::now();
  std::optional<balance::Choice> choice = context_.balancer.Pick(wanted_, tried_, now);
  if (!choice) return absl::UnavailableError("the service has no ready endpoint");
  Candidate candidate{.choice = *choice, .begun = now};
  ASSIGN_OR_RETURN(candidate.route, RouteTo(*wanted_.snapshot, request_.source->id, request_.target,
                                            candidate.choice));
  // An idle tunnel may lead through another gateway than was chosen: then the choice is that one.
  const Route& route = candidate.route;
  tunnel_ = context_.pool.Take(route.pool_key);
  candidate.is_new = tunnel_ == nullptr;
  candidate.way = candidate.is_new ? route.address.ToString() : tunnel_->peer_address;
  GoThrough(*wanted_.snapshot, *route.endpoint, candidate.way, candidate.choice);
  candidate.attempt = context_.balancer.Begin(wanted_, candidate.choice, now);
  candidate.counters = CountersOf(context_, request_, route.endpoint->cluster);
  return candidate;
}

std::optional<Candidate> Outbound::Another(const Candidate& slow) {
  Tried(slow, balance::Failure::kWay);
  if (tried_.size() >= kMaxAttempts) return std::nullopt;
  absl::StatusOr<Candidate> another = Choose();
  if (!another.ok()) return std::nullopt;
  return *std::move(another);
}

void Outbound::Show(const Candidate& candidate) {
  const mesh::Endpoint& endpoint = *candidate.route.endpoint;
  request_.cluster = endpoint.cluster;
  (*entry_)->endpoint = endpoint.Where();
  (*entry_)->server = endpoint.identity;
  (*entry_)->why = candidate.choice.why;
}

// Of its way once only: how many ways to a cluster have failed counts.
void Outbound::Tried(const Candidate& candidate, balance::Failure what, bool only_slow) {
  ForgetWay(candidate);
  tried_.push_back({candidate.choice, what, only_slow});
}

void Outbound::ForgetWay(const Candidate& candidate) {
  std::erase_if(tried_, [&](const balance::Tried& before) {
    return before.failure == balance::Failure::kWay && before.choice.SamePlace(candidate.choice);
  });
}

void Outbound::HoldAgainst(Candidate& candidate, balance::Failure what) {
  candidate.attempt.OnFailure(what, std::chrono::steady_clock::now());
  Add(candidate.counters->attempts_failed);
}

// Those that were idle for longer on the same way are no better. Where nobody listens any more,
// somebody drains, who waits for all of them.
void Outbound::DiscardIdle(const Candidate& candidate, const absl::Status& why) {
  const bool closed = ErrnoOf(why) == ECONNREFUSED;
  context_.pool.DiscardIf([&](const Tunnel& tunnel) {
    return tunnel.peer_address == candidate.way &&
           (closed || tunnel.pool_key == candidate.route.pool_key);
  });
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

DialRaceRules Outbound::RaceRules() {
  DialRaceRules rules;
  rules.latest = deadline_;
  rules.another = [this](const Candidate& slow) { return Another(slow); };
  rules.on_failure = [this](Candidate& failed, const absl::Status& why) {
    DiscardIdle(failed, why);
    HoldAgainst(failed, balance::Failure::kWay);
    Tried(failed, balance::Failure::kWay);
  };
  rules.on_slow = [this](const Candidate& slow) {
    Tried(slow, balance::Failure::kWay, /*only_slow=*/true);
  };
  return rules;
}

Awaitable<absl::StatusOr<net::AsyncFd>> Outbound::Connect(Candidate& candidate) {
  const DialRaceRules rules = RaceRules();
  absl::StatusOr<net::AsyncFd> connected = co_await ConnectFirst(context_, candidate, rules);
  Show(candidate);
  ForgetWay(candidate);  // who was slow may have been first all the same
  co_return connected;
}

// OK: tunnel_ is set.
Awaitable<absl::Status> Outbound::Dial(Candidate& candidate) {
  CO_ASSIGN_OR_RETURN(net::AsyncFd connected, co_await Connect(candidate));
  if (!candidate.is_new) co_return absl::OkStatus();
  const Route& route = candidate.route;
  absl::StatusOr<tls::Session> session = co_await tls::HandshakeAsClient(
      std::move(connected), request_.credentials, route.server_name, route.endpoint->identity,
      context_.records, std::min(candidate.deadline, After(context_.world->deadlines.handshake)));
  if (!session.ok()) {
    context_.counters.dialed_handshake_failures.Add(tls::ReasonOf(session.status()));
    co_return Annotate(session.status(), absl::StrCat("handshake with ", candidate.way));
  }
  Add(context_.counters.tunnels_dialed);
  tunnel_ = std::make_unique<Tunnel>(*std::move(session), tunnel::Role::kDialer);
  tunnel_->peer_address = candidate.way;
  tunnel_->pool_key = route.pool_key;
  tunnel_->service = request_.target.service->FullName();
  tunnel_->port = request_.target.port->port;
  tunnel_->credentials = request_.credentials;
  co_return absl::OkStatus();
}

// A tunnel that has been silent for long may be dead without anybody having said so. Bytes
// that were sent into it could not be sent again elsewhere.
bool FreshEnough(const Tunnel& tunnel) {
  return std::chrono::steady_clock::now() - tunnel.heard_at < kTrustedIdle;
}

Awaitable<OpenOutcome> Outbound::Attempt(Candidate& candidate, net::AsyncFd& plain) {
  had_tunnel_ = !candidate.is_new;
  if (candidate.is_new) {
    absl::StatusOr<DialSlots::Slot> slot = co_await context_.dials.Take(deadline_);
    if (!slot.ok()) co_return OpenOutcome{OpenOutcome::Kind::kNotTried, slot.status()};
    candidate.slot = *std::move(slot);
    const absl::Status dialed = co_await Dial(candidate);
    candidate.slot.reset();
    if (!dialed.ok()) co_return DialFailed(dialed);
    had_tunnel_ = true;
  }
  MonotonicTime deadline = candidate.deadline;
  if (!candidate.is_new) {
    deadline = std::min(deadline_, After(context_.world->deadlines.dial));
    Add(context_.counters.tunnels_reused);
  }
  const bool send_early = candidate.is_new || FreshEnough(*tunnel_);
  const Route& route = candidate.route;
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

// Tries endpoints until one opens, none is left, or time is up. On success
// tunnel_ is set.
Awaitable<std::optional<Refused>> Outbound::OpenSomewhere(net::AsyncFd& plain) {
  deadline_ = After(context_.world->deadlines.connect);
  wanted_ = {request_.world->snapshot.get(), request_.target, request_.client.ip};
  Refused last{Refusal::kNoEndpoint, absl::UnavailableError("the service has no ready endpoint")};
  int excused = 0;
  while (tried_.size() < kMaxAttempts && std::chrono::steady_clock::now() < deadline_) {
    absl::StatusOr<Candidate> chosen = Choose();
    if (!chosen.ok()) {
      if (tried_.empty()) last.status = chosen.status();
      break;
    }
    Candidate candidate = *std::move(chosen);
    Show(candidate);
    if (!tried_.empty()) Add(context_.counters.retries);
    const OpenOutcome outcome = co_await Attempt(candidate, plain);
    if (outcome.kind == OpenOutcome::Kind::kOpened) {
      const MonotonicTime now = std::chrono::steady_clock::now();
      candidate.attempt.OnConnected(now - candidate.begun, now);
      attempt_ = std::move(candidate.attempt);
      (*entry_)->counters = std::move(candidate.counters);
      co_return std::nullopt;
    }
    last = ToRefused(outcome);
    const balance::Failure what = WhatFailed(outcome, had_tunnel_);
    if (outcome.kind == OpenOutcome::Kind::kUncertain) HoldAgainst(candidate, what);
    if (!outcome.retriable()) co_return last;
    if (outcome.kind == OpenOutcome::Kind::kNotSent) DiscardIdle(candidate, outcome.status);
    if (Excusable(outcome, candidate.is_new) && excused < kMaxExcused) {
      ++excused;
      continue;
    }
    HoldAgainst(candidate, what);
    Tried(candidate, what);
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
