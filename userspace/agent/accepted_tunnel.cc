// SPDX-License-Identifier: Apache-2.0
#include "agent/accepted_tunnel.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/carried.h"
#include "agent/inbound.h"
#include "agent/quota.h"
#include "agent/tunnel_end.h"
#include "base/errno_status.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "tunnel/acceptor.h"
#include "tunnel/routing_id.h"

namespace tombolo::agent {
namespace {

using tunnel::Tunnel;

const World::Served* FindServed(const Context& context, absl::string_view server_name) {
  const auto served =
      context.world->served.find(tunnel::RoutingIdOf(server_name, context.settings.cluster));
  return served == context.world->served.end() ? nullptr : &served->second;
}

absl::StatusOr<tls::CredentialsPtr> CredentialsFor(const Context& context,
                                                   absl::string_view server_name) {
  const World::Served* served = FindServed(context, server_name);
  if (served == nullptr) {
    return absl::NotFoundError("no endpoint on this node has this routing id");
  }
  return context.world->CredentialsOf(served->identity);
}

// A stranger's share of the handshakes at a time.
absl::StatusOr<AddressShare> TakeHandshake(Context& context, const net::IpAddress& peer) {
  return TakeForAddress(context.quotas.handshakes, peer, context.world->HandshakeLimits(peer));
}

void Refuse(Context& context, Refusal reason, absl::string_view peer, const absl::Status& why) {
  context.counters.accepted_refused.Add(reason);
  log::WriteLimited(log::Level::kWarning, "tunnel refused", Name(reason),
                    {{"peer", peer}, {"reason", Name(reason)}, {"detail", why}});
}

void ReportHandshake(Context& context, absl::string_view peer, const absl::Status& status) {
  const tls::HandshakeFailure failure = tls::ReasonOf(status);
  context.counters.accepted_handshake_failures.Add(failure);
  log::WriteLimited(log::Level::kWarning, "tunnel refused", tls::Name(failure),
                    {{"peer", peer}, {"reason", tls::Name(failure)}, {"detail", status}});
}

// What a handshake established, and the credentials and bundle that it was done with.
struct Accepted {
  tls::Session session;
  tls::CredentialsPtr credentials;
};

// `share` lasts as long as the handshake.
Awaitable<absl::StatusOr<Accepted>> Handshake(Context& context, Fd socket,
                                              [[maybe_unused]] AddressShare share) {
  net::SetKeepAlive(socket.get());
  CO_ASSIGN_OR_RETURN(net::AsyncFd fd, net::AsyncFd::Adopt(context.poller, std::move(socket)));
  absl::Status why_none;
  tls::CredentialsPtr used;
  // Not inside the co_await: g++ 12 destroys a lambda's captures there twice.
  tls::CredentialsBySni find = [&](absl::string_view server_name) -> tls::CredentialsPtr {
    auto credentials = CredentialsFor(context, server_name);
    why_none = credentials.status();
    used = credentials.ok() ? *std::move(credentials) : nullptr;
    return used;
  };
  absl::StatusOr<tls::Session> session = co_await tls::HandshakeAsServer(
      std::move(fd), std::move(find), context.records, After(context.world->deadlines.handshake));
  if (session.ok()) {
    Accepted accepted{*std::move(session), std::move(used)};
    co_return accepted;
  }
  if (why_none.ok()) co_return session.status();
  co_return tls::HandshakeError(tls::ReasonOf(session.status()),
                                absl::StrCat(session.status().message(), ": ", why_none.message()));
}

// A tunnel is in the set that Drain() and the views walk while this lives.
class Registration {
 public:
  Registration(Context& context, Tunnel& tunnel) : context_(context), tunnel_(&tunnel) {
    context_.accepted_tunnels.insert(tunnel_);
  }
  ~Registration() { context_.accepted_tunnels.erase(tunnel_); }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

 private:
  Context& context_;
  Tunnel* tunnel_;
};

// Says what the tunnel is for. Should what it was made with have been replaced during
// the handshake, it serves nothing: the peer was checked against the old bundle.
void Label(const Context& context, Tunnel& tunnel) {
  const auto credentials = CredentialsFor(context, tunnel.info().sni);
  if (!credentials.ok() || *credentials != tunnel.credentials) return tunnel.Retire();
  const World::Served* served = FindServed(context, tunnel.info().sni);
  tunnel.service = served->service->FullName();
  tunnel.port = served->port->port;
}

// An accepted tunnel until it ends. A coroutine has it while it waits for a connection, and
// the connection while it is relayed.
struct AcceptedTunnel {
  AcceptedTunnel(Context& context, std::unique_ptr<Tunnel> accepted, Quota::Share share)
      : tunnel(std::move(accepted)),
        of_peer(std::move(share)),
        registration(context, *tunnel),
        handler(context) {}

  std::unique_ptr<Tunnel> tunnel;
  Quota::Share of_peer;
  Registration registration;
  Inbound handler;
};

Awaitable<void> ServeConnections(Context& context, std::unique_ptr<AcceptedTunnel> accepted);

Awaitable<void> CloseTunnel(std::unique_ptr<AcceptedTunnel> accepted, relay::Relay::End end) {
  co_await relay::CloseTunnel(*accepted->tunnel, std::move(end));
}

class CarriedInbound final : public Carried {
 public:
  CarriedInbound(Context& context, net::AsyncFd endpoint, std::unique_ptr<AcceptedTunnel> accepted)
      : Carried(context, {context.connections, accepted->handler.TakeConnection()},
                std::move(endpoint), *accepted->tunnel, /*early=*/0),
        accepted_(std::move(accepted)) {}

 private:
  void OnEnd(relay::Relay::End end) override {
    accepted_->handler.OnConnectionEnd(end.code == tunnel::proto::CODE_APPLICATION_RESET &&
                                       moved().to_tunnel == 0);
    if (end.status.ok()) {
      return context_.tasks.Spawn(ServeConnections(context_, std::move(accepted_)));
    }
    if (!absl::IsCancelled(end.status)) {
      ReportEnd(context_.counters, *accepted_->tunnel, end.status);
    }
    context_.tasks.Spawn(CloseTunnel(std::move(accepted_), std::move(end)));
  }

  std::unique_ptr<AcceptedTunnel> accepted_;
};

void Carry(Context& context, net::AsyncFd endpoint, std::unique_ptr<AcceptedTunnel> accepted) {
  auto carried =
      std::make_unique<CarriedInbound>(context, std::move(endpoint), std::move(accepted));
  // What was allowed when it began may have been forbidden since.
  absl::Status allowed = StillAllowed(*context.world, carried->connection());
  if (!allowed.ok()) carried->Stop(std::move(allowed), tunnel::proto::CODE_DENIED);
  Carried::Start(std::move(carried));
}

// Up to the next connection that is carried.
Awaitable<void> ServeConnections(Context& context, std::unique_ptr<AcceptedTunnel> accepted) {
  Tunnel& tunnel = *accepted->tunnel;
  tunnel::AcceptorOptions options;
  options.hello = context.world->deadlines.handshake;
  options.idle = context.settings.idle_tunnel * 3 / 2;
  absl::StatusOr<std::optional<net::AsyncFd>> endpoint =
      co_await tunnel::Serve(tunnel, accepted->handler, options);
  if (!endpoint.ok()) {
    ReportEnd(context.counters, tunnel, endpoint.status());
  } else if (endpoint->has_value()) {
    Carry(context, **std::move(endpoint), std::move(accepted));
  }
}

Awaitable<void> ServeAuthenticated(Context& context, std::unique_ptr<Tunnel> tunnel) {
  const std::string& peer_id = tunnel->info().peer.text();
  absl::StatusOr<Quota::Share> share =
      context.quotas.tunnels.Take(peer_id, context.world->limits.tunnels_per_peer);
  if (!share.ok()) {
    const absl::Status why = Annotate(share.status(), "limits.tunnels_per_peer");
    Refuse(context, Refusal::kTunnelLimit, tunnel->peer_address, why);
    co_return co_await tunnel->GoAway(std::string(why.message()));
  }
  Label(context, *tunnel);
  if (context.draining) tunnel->Retire();
  co_await ServeConnections(
      context, std::make_unique<AcceptedTunnel>(context, std::move(tunnel), *std::move(share)));
}

// Null: it has been reported why there is none, or the peer has gone already. A coroutine of its
// own, so that nothing of the handshake is kept while the tunnel idles.
Awaitable<std::unique_ptr<Tunnel>> Accept(Context& context, Fd socket) {
  const auto peer = net::PeerAddress(socket.get());
  if (!peer.ok()) co_return nullptr;  // it has gone already
  const std::string peer_address = peer->ToString();
  absl::StatusOr<AddressShare> share = TakeHandshake(context, peer->ip);
  if (!share.ok()) {
    net::ResetOnClose(socket.get());
    Refuse(context, Refusal::kHandshakeLimit, peer_address, share.status());
    co_return nullptr;
  }
  absl::StatusOr<Accepted> accepted =
      co_await Handshake(context, std::move(socket), *std::move(share));
  if (!accepted.ok()) {
    ReportHandshake(context, peer_address, accepted.status());
    co_return nullptr;
  }
  Add(context.counters.tunnels_accepted);
  auto tunnel = std::make_unique<Tunnel>(std::move(accepted->session), tunnel::Role::kAcceptor);
  tunnel->credentials = std::move(accepted->credentials);
  tunnel->peer_address = peer_address;
  co_return tunnel;
}

}  // namespace

Awaitable<void> ServeTunnel(Context& context, Fd socket) {
  std::unique_ptr<Tunnel> tunnel = co_await Accept(context, std::move(socket));
  if (tunnel != nullptr) co_await ServeAuthenticated(context, std::move(tunnel));
}

void RefuseTunnel(Context& context, Fd socket, absl::Status why) {
  net::ResetOnClose(socket.get());
  const auto peer = net::PeerAddress(socket.get());
  Refuse(context, Refusal::kResources, peer.ok() ? peer->ToString() : "unknown", why);
}

}  // namespace tombolo::agent
