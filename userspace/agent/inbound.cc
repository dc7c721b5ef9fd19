// SPDX-License-Identifier: Apache-2.0
#include "agent/inbound.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "agent/reserve_descriptor.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"
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

const mesh::Endpoint* FindEndpoint(const Context& context, const World::Served& served,
                                   const proto::Open& open) {
  for (const mesh::Endpoint& endpoint : served.port->endpoints) {
    if (endpoint.cluster != context.settings.cluster || endpoint.node != context.settings.node ||
        endpoint.identity != served.identity) {
      continue;
    }
    if (!open.has_endpoint() && endpoint.ready) return &endpoint;
    if (open.has_endpoint() && endpoint.address == FromProto(open.endpoint()) &&
        (open.endpoint_workload().empty() || endpoint.workload == open.endpoint_workload())) {
      return &endpoint;
    }
  }
  return nullptr;
}

}  // namespace

tunnel::ConnectionHandler::Answer Inbound::Refuse(Refusal reason, proto::Code code,
                                                  std::string message) {
  context_.counters.accepted_refused.Add(reason);
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
    return {nullptr, Refuse(Refusal::kUnknownService, proto::CODE_NO_SUCH_SERVICE,
                            "this node does not serve it under this tunnel's name")};
  }
  const policy::Decision decision =
      policy::Authorize(*world.snapshot, tunnel.info().peer, connection_.service, connection_.port);
  if (!decision.allowed) {
    return {nullptr, Refuse(Refusal::kDenied, proto::CODE_DENIED, decision.reason)};
  }
  // An endpoint of another identity than the tunnel's is never connected to, even
  // if its address is the one that was asked for.
  const mesh::Endpoint* endpoint = FindEndpoint(context_, served->second, open);
  if (endpoint == nullptr) {
    return {nullptr, Refuse(Refusal::kNoEndpoint, proto::CODE_WRONG_IDENTITY,
                            "no such endpoint of this identity on this node")};
  }
  return {endpoint, {}};
}

Awaitable<absl::StatusOr<net::AsyncFd>> Inbound::Connect(WorldPtr world,
                                                         const mesh::Endpoint& endpoint) {
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
  CO_ASSIGN_OR_RETURN(net::AsyncFd connected,
                      co_await net::Connect(context_.poller, std::move(socket), endpoint.address,
                                            After(context_.world->deadlines.endpoint_connect)));
  // With nobody listening, a port of the ephemeral range can connect to itself.
  if (const auto local = net::LocalAddress(connected.get());
      !local.ok() || *local == endpoint.address) {
    co_return absl::UnavailableError("nothing listens at " + endpoint.address.ToString());
  }
  // The other end is in this kernel, but its FIN cannot come once its address is gone.
  net::SetKeepAlive(connected.get());
  net::ResetOnClose(connected.get());
  co_return connected;
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
  const WorldPtr world = context_.world;  // keeps the endpoint alive below
  Choice choice = Choose(*world, tunnel, open);
  if (choice.endpoint == nullptr) co_return std::move(choice.refusal);
  connection_.endpoint = choice.endpoint->address.ToString();
  absl::StatusOr<net::AsyncFd> connected = co_await Connect(world, *choice.endpoint);
  if (!connected.ok()) {
    Refusal reason = Refusal::kUnavailable;
    if (OutOfDescriptors(connected.status())) reason = Refusal::kResources;
    co_return Refuse(reason, proto::CODE_UNAVAILABLE, std::string(connected.status().message()));
  }
  // What was allowed when it began may have been forbidden meanwhile.
  if (context_.world != world) {
    Choice again = Choose(*context_.world, tunnel, open);
    if (again.endpoint == nullptr) co_return std::move(again.refusal);
  }
  Answer answer;
  answer.code = proto::CODE_OK;
  answer.endpoint = *std::move(connected);
  co_return answer;
}

}  // namespace tombolo::agent
