// SPDX-License-Identifier: Apache-2.0
#include "agent/gateway_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "agent/accepted_link.h"
#include "agent/gateway_dial.h"
#include "agent/reserve_descriptor.h"
#include "base/errno_status.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"
#include "gateway/client_hello.h"
#include "link/messages.h"
#include "net/socket.h"
#include "tls/alert.h"

namespace tombolo::agent {
namespace {

using gateway::Refusal;

constexpr std::uint8_t kAlertRecord = 21;
// What a refused peer has sent already is read, or closing would be a reset, which may overtake
// the alert. More than this nobody sends before it has an answer.
constexpr std::size_t kReadAway = 256 * 1024;
// Even late in the deadline a node of the same cluster needs no more than this.
constexpr Duration kLeastAttempt = std::chrono::milliseconds(250);

// Why a connection is not carried.
struct Refused {
  Refusal reason;
  absl::Status why;
};

void Report(GatewayContext& context, const std::string& peer, const Refused& refused) {
  context.counters.refused.Add(refused.reason);
  const absl::string_view name = gateway::Name(refused.reason);
  // A load balancer that looks whether the port is open does nothing else.
  const bool harmless = refused.reason == Refusal::kGone;
  log::WriteLimited(harmless ? log::Level::kDebug : log::Level::kWarning, "tunnel refused", name,
                    {{"peer", peer}, {"reason", name}, {"detail", refused.why}});
}

void ReadAway(int fd) {
  std::size_t left = kReadAway;
  while (left > 0) {
    const ssize_t got = recv(fd, nullptr, left, MSG_TRUNC | MSG_DONTWAIT);
    if (got <= 0) return;
    left -= std::min(left, static_cast<std::size_t>(got));
  }
}

// Without waiting: the alert is in the socket's buffer, and the kernel delivers it.
void SayAndClose(net::AsyncFd client, std::uint8_t alert) {
  const std::uint8_t record[] = {kAlertRecord, 3, 3, 0, 2, tls::kAlertFatal, alert};
  if (send(client.get(), record, sizeof(record), MSG_NOSIGNAL | MSG_DONTWAIT) ==
      static_cast<ssize_t>(sizeof(record))) {
    ReadAway(client.get());
    net::CloseInOrder(client.get());
  }
}

bool PeerHasEnded(int fd) {
  pollfd state{.fd = fd, .events = POLLRDHUP, .revents = 0};
  return poll(&state, 1, /*timeout=*/0) > 0;
}

// The socket is readable when it has so many bytes, so that a peer that sends them one by one does
// not wake this thread for each. A refusal costs wake-ups, nothing else.
void SetLeastReadable(int fd, std::size_t bytes) {
  const int value = static_cast<int>(bytes);
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value));
}

// Who has made the connection: somebody, or this gateway, over a link.
enum class Origin { kPublic, kSpare };

// What the first bytes are of.
struct First {
  enum class Kind { kTunnel, kLink, kSpare };
  Kind kind = Kind::kTunnel;
  std::string server_name{};  // of a tunnel
  std::optional<Refused> refused{};
};

First Neither(Refusal reason, absl::Status why) {
  return {.refused = Refused{reason, std::move(why)}};
}

// How many bytes there have to be before the next look; 0: `first` is set.
std::size_t Read(absl::Span<const std::uint8_t> stream, Origin origin, First& first) {
  if (origin == Origin::kPublic && !stream.empty() && stream[0] == link::kSpareByte) {
    first.kind = First::Kind::kSpare;
    return stream.size() < link::kSpareOpening ? link::kSpareOpening : 0;
  }
  gateway::HelloView view = gateway::ReadClientHello(stream);
  if (view.refusal) first = Neither(*view.refusal, absl::InvalidArgumentError("no tunnel's hello"));
  if (view.protocol == tls::Protocol::kLink) first.kind = First::Kind::kLink;
  first.server_name = std::move(view.server_name);
  return view.needed;
}

// A look at what has arrived. Not set: there is more to come, for which the socket may wait.
std::optional<First> Peek(GatewayContext& context, net::AsyncFd& client, Origin origin,
                          bool& waits) {
  net::BufferPool::Lease buffer = context.buffers.Take();
  ssize_t got;
  do {
    got =
        recv(client.get(), buffer.span().data(), gateway::kMaxClientHello, MSG_PEEK | MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return std::nullopt;
  if (got < 0) return Neither(Refusal::kGone, ErrnoStatus(errno, "read the ClientHello"));
  First first;
  const std::size_t needed =
      Read(buffer.span().first(static_cast<std::size_t>(got)), origin, first);
  if (needed == 0) return first;
  // What has been seen already makes no second edge.
  if (PeerHasEnded(client.get())) {
    return Neither(Refusal::kGone, absl::UnavailableError("ended within its ClientHello"));
  }
  waits = true;
  SetLeastReadable(client.get(), needed);
  return std::nullopt;
}

// What has come stays where it is.
Awaitable<First> AwaitFirst(GatewayContext& context, net::AsyncFd& client, Origin origin) {
  const MonotonicTime deadline = After(context.world->deadlines.handshake);
  bool waits = false;
  for (;;) {
    const absl::Status waited = co_await client.WaitReadable(deadline);
    if (!waited.ok()) {
      const bool late = absl::IsDeadlineExceeded(waited);
      First none = Neither(late ? Refusal::kTimeout : Refusal::kDraining, waited);
      co_return none;
    }
    client.ClearReadable();
    std::optional<First> first = Peek(context, client, origin, waits);
    if (!first) continue;
    if (waits) SetLeastReadable(client.get(), 1);
    co_return *std::move(first);
  }
}

struct Reached {
  gateway::Node::Use node;
  net::AsyncFd socket;
};

// The last one there is gets all the time that is left; the others leave some.
MonotonicTime AttemptDeadline(MonotonicTime now, MonotonicTime deadline, bool last) {
  if (last) return deadline;
  return std::min(deadline, now + std::max((deadline - now) / 2, kLeastAttempt));
}

// `route` is of a world that the caller keeps.
Awaitable<absl::StatusOr<Reached>> DialSomewhere(GatewayContext& context,
                                                 const gateway::Route* route) {
  const GatewayWorldPtr world = context.world;
  const MonotonicTime deadline = After(world->deadlines.dial);
  absl::Status last = absl::UnavailableError("no node could be dialled in time");
  std::vector<const gateway::Node*> tried;
  for (;;) {
    const MonotonicTime now = std::chrono::steady_clock::now();
    if (now >= deadline) co_return last;
    gateway::Node::Use node = gateway::Choose(*route, tried, world->zone, now, context.random);
    if (node.get() == nullptr) co_return last;
    const bool only = tried.size() + 1 == route->candidates.size();
    absl::StatusOr<net::AsyncFd> socket =
        co_await Dial(context, node->address(), Way::kNode, AttemptDeadline(now, deadline, only));
    if (socket.ok()) {
      node->Reached();
      Reached reached{std::move(node), *std::move(socket)};
      co_return reached;
    }
    last = Annotate(socket.status(), absl::StrCat("node ", node->name()));
    if (OutOfDescriptors(socket.status())) co_return last;  // says nothing about the node
    node->Failed(std::chrono::steady_clock::now());
    log::WriteLimited(log::Level::kWarning, "node not reached", "",
                      {{"node", node->name()}, {"reason", socket.status()}});
    tried.push_back(node.get());
  }
}

void OnEnd(GatewayContext& context, std::list<GatewayTunnel>::iterator tunnel,
           const absl::Status& status) {
  if (!status.ok() && !absl::IsCancelled(status)) {
    Add(context.counters.reset);
    log::WriteLimited(log::Level::kInfo, "tunnel reset", absl::StatusCodeToString(status.code()),
                      {{"peer", tunnel->peer.ToString()},
                       {"service", tunnel->service},
                       {"node", tunnel->link.empty() ? tunnel->node->name() : tunnel->link},
                       {"reason", status}});
  }
  context.tunnels.erase(tunnel);
}

void Carry(GatewayContext& context, net::AsyncFd client, net::AsyncFd node, GatewayTunnel tunnel) {
  Add(context.counters.tunnels);
  const auto at = context.tunnels.insert(context.tunnels.end(), std::move(tunnel));
  at->mover = std::make_unique<gateway::Mover>(std::move(client), std::move(node), context.buffers,
                                               context.counters.bytes);
  at->mover->WhenAnswered([at] { at->handshake = AddressShare(); });
  at->mover->Start([&context, at](const absl::Status& status) { OnEnd(context, at, status); });
}

Awaitable<std::optional<Refused>> OpenToNode(GatewayContext& context, net::AsyncFd& client,
                                             const gateway::Route* route, GatewayTunnel tunnel) {
  absl::StatusOr<Reached> reached = co_await DialSomewhere(context, route);
  if (!reached.ok()) {
    Refused refused{Refusal::kUnavailable, reached.status()};
    if (OutOfDescriptors(reached.status())) refused.reason = Refusal::kResources;
    co_return refused;
  }
  tunnel.service = route->service;
  tunnel.port = route->port;
  tunnel.far = reached->node->address();
  tunnel.node = std::move(reached->node);
  Carry(context, std::move(client), std::move(reached->socket), std::move(tunnel));
  co_return std::nullopt;
}

// Waits for one if there is none, as long as for a node.
Awaitable<absl::StatusOr<link::Stock::Taken>> TakeSpare(GatewayContext& context,
                                                        std::string cluster) {
  const MonotonicTime deadline = After(context.world->deadlines.dial);
  const auto waiter = std::make_shared<net::Waiter>(context.poller);
  // From whichever thread has the spare.
  std::function<void()> ready = [&poller = context.poller, weak = std::weak_ptr(waiter)] {
    PostTo(poller, [weak] {
      if (const auto waiting = weak.lock()) waiting->Wake();
    });
  };
  CO_ASSIGN_OR_RETURN(
      const std::unique_ptr<link::Stock::Wish> wish,
      context.stock.Want(cluster, std::move(ready), std::chrono::steady_clock::now()));
  for (;;) {
    const bool waits = wish->Waits();  // before the look: it may come in between
    std::optional<link::Stock::Taken> taken = wish->Take();
    if (taken) co_return *std::move(taken);
    if (!waits) {
      co_return absl::NotFoundError(
          absl::StrCat("the last link of cluster '", cluster, "' has ended"));
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      co_return absl::DeadlineExceededError(
          absl::StrCat("no spare of cluster '", cluster, "' came in time"));
    }
    (void)co_await waiter->Wait(deadline);
  }
}

Awaitable<std::optional<Refused>> OpenOverLink(GatewayContext& context, net::AsyncFd& client,
                                               std::string cluster, GatewayTunnel tunnel) {
  absl::StatusOr<link::Stock::Taken> taken = co_await TakeSpare(context, std::move(cluster));
  if (!taken.ok()) {
    Refused refused{Refusal::kNoSpare, taken.status()};
    if (absl::IsNotFound(taken.status())) refused.reason = Refusal::kNoLink;
    co_return refused;
  }
  if (const auto far = net::PeerAddress(taken->spare.socket.get()); far.ok()) tunnel.far = *far;
  auto spare = net::AsyncFd::Adopt(context.poller, std::move(taken->spare.socket));
  if (!spare.ok()) co_return Refused{Refusal::kResources, spare.status()};
  tunnel.link = absl::StrCat(taken->cluster, "/", taken->gateway);
  tunnel.spare = std::move(taken->spare.held);
  Carry(context, std::move(client), *std::move(spare), std::move(tunnel));
  co_return std::nullopt;
}

// Leaves it to whoever takes it, if its token is good.
std::optional<Refused> KeepSpare(GatewayContext& context, net::AsyncFd& client,
                                 GatewayTunnel tunnel) {
  std::uint8_t opening[link::kSpareOpening];
  link::Token token;
  const bool read = recv(client.get(), opening, sizeof(opening), MSG_DONTWAIT) ==
                    static_cast<ssize_t>(sizeof(opening));
  std::optional<link::TokenRefusal> refusal = link::TokenRefusal::kVersion;
  if (read && link::DecodeOpening(opening, token)) {
    link::Spare spare{.socket = client.Release(),
                      .held = std::make_shared<AddressShare>(std::move(tunnel.share))};
    refusal = context.stock.Redeem(token, std::move(spare), std::chrono::steady_clock::now());
  } else {
    context.stock.CountRefused(*refusal);
  }
  if (!refusal) return std::nullopt;
  return Refused{Refusal::kToken, absl::PermissionDeniedError(Name(*refusal))};
}

// Until the tunnel is carried, or it is known why not.
Awaitable<std::optional<Refused>> Open(GatewayContext& context, net::AsyncFd& client, Origin origin,
                                       GatewayTunnel tunnel, AddressShare handshake) {
  First first = co_await AwaitFirst(context, client, origin);
  if (first.refused) co_return first.refused;
  if (first.kind == First::Kind::kLink) {
    const absl::Status why = absl::PermissionDeniedError("a link where there can be none");
    if (origin == Origin::kSpare) co_return Refused{Refusal::kNotTombolo, why};
    if (context.draining) co_return Refused{Refusal::kDraining, why};
    context.tasks.Spawn(ServeLink(context, std::move(client), tunnel.peer.ToString(),
                                  std::move(tunnel.share), std::move(handshake)));
    co_return std::nullopt;
  }
  if (first.kind == First::Kind::kSpare) co_return KeepSpare(context, client, std::move(tunnel));
  const GatewayWorldPtr world = context.world;
  gateway::Routes::Found found = world->routes.Find(first.server_name);
  // What has come over a link goes no further: it would go in circles.
  if (found.linked != nullptr && origin == Origin::kSpare) found.refusal = Refusal::kOtherCluster;
  if (found.refusal) co_return Refused{*found.refusal, absl::NotFoundError(first.server_name)};
  tunnel.server_name = std::move(first.server_name);
  tunnel.handshake = std::move(handshake);
  if (found.linked != nullptr) {
    co_return co_await OpenOverLink(context, client, *found.linked, std::move(tunnel));
  }
  co_return co_await OpenToNode(context, client, found.route, std::move(tunnel));
}

// What a source address may have: the error is for Report(). All the world comes over a link, from
// the one address of the gateway at its other end, so that says nothing of a spare.
absl::StatusOr<AddressShare> TakeShares(GatewayContext& context, const net::IpAddress& peer,
                                        Origin origin, AddressShare& handshake, Refusal& refusal) {
  const source::AgentConfig::Limits& limits = context.world->limits;
  const auto take = [&](Quota& quota, const AddressLimits& of) {
    return origin == Origin::kSpare ? TakeOfAll(quota, of) : TakeForAddress(quota, peer, of);
  };
  refusal = Refusal::kConnectionLimit;
  ASSIGN_OR_RETURN(AddressShare connection,
                   take(context.quotas.connections, {"limits.connections", limits.connections,
                                                     limits.connections_per_address}));
  refusal = Refusal::kHandshakeLimit;
  ASSIGN_OR_RETURN(handshake,
                   take(context.quotas.handshakes,
                        {"limits.handshakes", limits.handshakes, limits.handshakes_per_address}));
  return connection;
}

Awaitable<void> Serve(GatewayContext& context, net::Accepted accepted, Origin origin) {
  ++context.opening;
  const absl::Cleanup opened = [&context] { --context.opening; };
  AddressShare handshake;
  gateway::Refusal limit = gateway::Refusal::kConnectionLimit;
  absl::StatusOr<AddressShare> connection =
      TakeShares(context, accepted.peer.ip, origin, handshake, limit);
  // Closing is a reset: the listener said so.
  if (!connection.ok())
    co_return Report(context, accepted.peer.ToString(), {limit, connection.status()});
  auto client = net::AsyncFd::Adopt(context.poller, std::move(accepted.socket));
  if (!client.ok()) {
    co_return Report(context, accepted.peer.ToString(),
                     {gateway::Refusal::kResources, client.status()});
  }
  GatewayTunnel tunnel;
  tunnel.peer = accepted.peer;
  tunnel.share = *std::move(connection);
  const std::optional<Refused> refused =
      co_await Open(context, *client, origin, std::move(tunnel), std::move(handshake));
  if (!refused) co_return;
  Report(context, accepted.peer.ToString(), *refused);
  const std::optional<std::uint8_t> alert = gateway::AlertOf(refused->reason);
  if (alert) SayAndClose(*std::move(client), *alert);
}

}  // namespace

Awaitable<void> ServeClient(GatewayContext& context, net::Accepted client) {
  return Serve(context, std::move(client), Origin::kPublic);
}

Awaitable<void> ServeSpare(GatewayContext& context, Fd socket) {
  const auto peer = net::PeerAddress(socket.get());
  if (!peer.ok()) co_return;  // it has gone already
  net::Accepted spare{std::move(socket), *peer};
  co_await Serve(context, std::move(spare), Origin::kSpare);
}

void RefuseClient(GatewayContext& context, Fd socket, const absl::Status& why) {
  const auto peer = net::PeerAddress(socket.get());
  Report(context, peer.ok() ? peer->ToString() : "unknown", {gateway::Refusal::kResources, why});
}

}  // namespace tombolo::agent
