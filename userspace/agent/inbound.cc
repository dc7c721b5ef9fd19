// SPDX-License-Identifier: Apache-2.0
#include "agent/inbound.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "agent/reserve_descriptor.h"
#include "agent/route.h"
#include "base/errno_status.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"
#include "net/proxy_protocol.h"
#include "net/socket.h"
#include "policy/authorize.h"
#include "tunnel/routing_id.h"

namespace tombolo::agent {
namespace {

namespace proto = tunnel::proto;
using tunnel::Tunnel;

net::SocketAddress FromProto(const proto::Address& address) {
  std::uint8_t bytes[16];
  std::copy(address.ip().begin(), address.ip().end(), bytes);
  return {net::IpAddress::FromBytes(bytes), static_cast<std::uint16_t>(address.port())};
}

// Whether `open`, which may or may not name an endpoint, can mean this one.
bool Wanted(const mesh::Endpoint& endpoint, const proto::Open& open) {
  if (!open.has_endpoint()) return endpoint.ready;
  return endpoint.address == FromProto(open.endpoint()) &&
         (open.endpoint_workload().empty() || endpoint.workload == open.endpoint_workload());
}

// An endpoint of another identity than the tunnel's is never connected to, even if its
// address is the one that was asked for.
std::vector<const mesh::Endpoint*> FindEndpoints(const Context& context,
                                                 const World::Served& served,
                                                 const proto::Open& open) {
  std::vector<const mesh::Endpoint*> found;
  for (const mesh::Endpoint& endpoint : served.port->endpoints) {
    if (endpoint.cluster == context.settings.cluster && endpoint.node == context.settings.node &&
        endpoint.identity == served.identity && Wanted(endpoint, open)) {
      found.push_back(&endpoint);
    }
  }
  return found;
}

// What the client has connected to, as this cluster calls it: the service's VIP of the client's
// family. Another cluster may call it otherwise, which means nothing here.
net::IpAddress AskedFor(const mesh::Service& service, const net::IpAddress& source,
                        const mesh::Endpoint& endpoint) {
  const auto vip = std::ranges::find_if(
      service.vips, [&](const net::IpAddress& each) { return each.is_v4() == source.is_v4(); });
  return vip == service.vips.end() ? endpoint.address.ip : *vip;
}

}  // namespace

// The peer has proved its name, but who has given it that may be of another trust domain: what the
// directory does not know has none here.
const ServiceCountersPtr& Inbound::CountersOf(const mesh::Snapshot& snapshot) const {
  const SpiffeId& peer = connection_.source;
  const mesh::Cluster* from = peer.trust_domain() == snapshot.trust_domain
                                  ? snapshot.FindCluster(peer.name().cluster)
                                  : nullptr;
  return context_.services.Of({.role = tunnel::Role::kAcceptor,
                               .from = from == nullptr ? "" : from->name,
                               .to = context_.settings.cluster,
                               .service = connection_.service});
}

tunnel::ConnectionHandler::Answer Inbound::Refuse(Refusal reason, proto::Code code,
                                                  std::string message) {
  context_.counters.accepted_refused.Add(reason);
  const mesh::Snapshot& snapshot = *context_.world->snapshot;
  if (snapshot.FindService(connection_.service) != nullptr) {
    CountersOf(snapshot)->refused.Add(reason);
  }
  log::WriteLimited(log::Level::kInfo, "connection from a tunnel refused", Name(reason),
                    {{"id", connection_.id},
                     {"reason", Name(reason)},
                     {"source", connection_.source.text()},
                     {"service", connection_.service},
                     {"port", connection_.port},
                     {"detail", message}});
  Answer answer;
  answer.code = code;
  answer.message = std::move(message);
  return answer;
}

Inbound::Choice Inbound::Choose(const World& world, const Tunnel& tunnel, const proto::Open& open) {
  const auto served =
      world.served.find(tunnel::RoutingIdOf(tunnel.info().sni, context_.settings.cluster));
  if (served == world.served.end() || served->second.service->FullName() != open.service() ||
      served->second.port->port != open.port()) {
    return {{},
            Refuse(Refusal::kUnknownService, proto::CODE_NO_SUCH_SERVICE,
                   "this node does not serve it under this tunnel's name")};
  }
  const policy::Decision decision =
      policy::Authorize(*world.snapshot, tunnel.info().peer, connection_.service, connection_.port);
  if (!decision.allowed) {
    return {{}, Refuse(Refusal::kDenied, proto::CODE_DENIED, decision.reason)};
  }
  Choice choice{FindEndpoints(context_, served->second, open), {}};
  if (!choice.endpoints.empty()) return choice;
  choice.refusal = open.has_endpoint()
                       ? Refuse(Refusal::kNoEndpoint, proto::CODE_WRONG_IDENTITY,
                                "no such endpoint of this identity on this node")
                       : Refuse(Refusal::kNoEndpoint, proto::CODE_UNAVAILABLE,
                                "no endpoint of this identity on this node is ready");
  return choice;
}

Awaitable<absl::StatusOr<net::AsyncFd>> Inbound::Connect(WorldPtr world,
                                                         const mesh::Endpoint& endpoint,
                                                         MonotonicTime deadline) {
  const auto home = world->homes.find(endpoint.workload);
  if (home == world->homes.end()) co_return absl::UnavailableError("workload is not known here");
  CO_RETURN_IF_ERROR(home->second.status);
  // Made inside the workload's namespace and bound to the endpoint's own address:
  // an address that is another's by now is not local there, and nothing leaves.
  Fd socket;
  const auto make = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(socket, net::TcpSocket(endpoint.address));
    return net::BindSource(socket.get(), endpoint.address.ip);
  };
  absl::Status made_there;
  if (home->second.ns == nullptr) {
    made_there = make();
  } else {
    made_there = home->second.ns->Run(context_.own_namespace, make);
  }
  CO_RETURN_IF_ERROR(made_there);
  if (!context_.quotas.reserve.Keep()) co_return ReserveNeeded();
  CO_ASSIGN_OR_RETURN(
      net::AsyncFd connected,
      co_await net::Connect(context_.poller, std::move(socket), endpoint.address, deadline));
  // With nobody listening, a port of the ephemeral range can connect to itself.
  if (const auto local = net::LocalAddress(connected.get());
      !local.ok() || *local == endpoint.address) {
    co_return absl::UnavailableError("nothing listens at " + endpoint.address.ToString());
  }
  // The other end is in this kernel, but its FIN cannot come once its address is gone.
  net::SetKeepAlive(connected.get());
  net::ResetOnClose(connected.get());
  CO_RETURN_IF_ERROR(co_await Introduce(std::move(world), endpoint, connected, deadline));
  co_return connected;
}

// Says to an endpoint whose port wants it for whom the connection is, before any other byte. The
// client's address is what the dialer has said; who the dialer is has been proved. A loopback
// address would be the endpoint's own, which backends may trust: it counts as not known.
Awaitable<absl::Status> Inbound::Introduce(WorldPtr world, const mesh::Endpoint& endpoint,
                                           net::AsyncFd& connected, MonotonicTime deadline) {
  const mesh::Service* service = world->snapshot->FindService(connection_.service);
  const mesh::ServicePort* port =
      service == nullptr ? nullptr : service->FindPort(connection_.port);
  if (port == nullptr || !port->proxy_protocol) co_return absl::OkStatus();
  const net::SocketAddress& source = connection_.source_address;
  net::ProxyHeader header{.spiffe_id = connection_.source.text()};
  if (!source.ip.is_loopback() && !source.ip.is_unspecified()) {
    header.source = source;
    header.destination = {AskedFor(*service, source.ip, endpoint), connection_.port};
  }
  const std::string bytes = net::EncodeProxyV2(header);
  co_return Annotate(co_await net::SendAll(connected, bytes, deadline), "PROXY header");
}

// Tries them until one takes the connection, which `open`, of the caller's frame, then names.
// `world` keeps them alive.
Awaitable<absl::StatusOr<net::AsyncFd>> Inbound::ConnectToOne(
    WorldPtr world, std::vector<const mesh::Endpoint*> left, proto::Open& open) {
  const MonotonicTime deadline = After(world->deadlines.endpoint_connect);
  absl::Status why = absl::DeadlineExceededError("no time was left for any endpoint");
  for (MonotonicTime now = std::chrono::steady_clock::now(); !left.empty() && now < deadline;
       now = std::chrono::steady_clock::now()) {
    // Each gets its share of the time: one that hangs leaves the others theirs.
    const MonotonicTime latest = now + (deadline - now) / static_cast<int>(left.size());
    const auto picked =
        left.begin() + static_cast<std::ptrdiff_t>(context_.local_endpoints.Pick(left, now));
    const mesh::Endpoint& endpoint = **picked;
    left.erase(picked);
    connection_.endpoint = endpoint.address.ToString();
    LocalEndpoints::Use use = context_.local_endpoints.Begin(endpoint);
    absl::StatusOr<net::AsyncFd> connected = co_await Connect(world, endpoint, latest);
    if (connected.ok()) {
      use.OnConnected();
      in_flight_ = std::move(use);
      NameEndpoint(endpoint, open);
      co_return connected;
    }
    why = connected.status();
    if (OutOfDescriptors(why)) break;  // no fault of the endpoint
    use.OnFailure(std::chrono::steady_clock::now());
  }
  co_return why;
}

Awaitable<tunnel::ConnectionHandler::Answer> Inbound::Open(Tunnel& tunnel, proto::Open open) {
  connection_ = Connection();
  connection_.id = absl::BytesToHexString(open.connection_id());
  connection_.role = tunnel::Role::kAcceptor;
  connection_.source = tunnel.info().peer;
  if (open.has_source()) connection_.source_address = FromProto(open.source());
  connection_.service = open.service();
  connection_.port = static_cast<std::uint16_t>(open.port());
  connection_.server = tunnel.info().local;
  connection_.tunnel = &tunnel;
  if (context_.draining) {
    co_return Refuse(Refusal::kDraining, proto::CODE_DRAINING, "this agent is shutting down");
  }
  const WorldPtr world = context_.world;
  Choice choice = Choose(*world, tunnel, open);
  if (choice.endpoints.empty()) co_return std::move(choice.refusal);
  absl::StatusOr<net::AsyncFd> connected =
      co_await ConnectToOne(world, std::move(choice.endpoints), open);
  if (!connected.ok()) {
    Refusal reason = Refusal::kUnavailable;
    if (OutOfDescriptors(connected.status())) reason = Refusal::kResources;
    co_return Refuse(reason, proto::CODE_UNAVAILABLE, std::string(connected.status().message()));
  }
  // What was allowed when it began may have been forbidden meanwhile.
  if (context_.world != world) {
    Choice again = Choose(*context_.world, tunnel, open);
    if (again.endpoints.empty()) {
      in_flight_ = {};
      co_return std::move(again.refusal);
    }
  }
  connection_.counters = CountersOf(*context_.world->snapshot);
  Answer answer;
  answer.code = proto::CODE_OK;
  answer.endpoint = *std::move(connected);
  co_return answer;
}

}  // namespace tombolo::agent
