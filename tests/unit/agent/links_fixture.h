// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "agent/accept_loop.h"
#include "agent/accepted_link.h"
#include "agent/dialed_links.h"
#include "agent/gateway_client.h"
#include "agent/gateway_context.h"
#include "link/channel.h"
#include "link/messages.h"
#include "net/socket.h"
#include "testing/loopback_listener.h"
#include "testing/test_pki.h"
#include "tunnel/routing_id.h"
#include "unit/agent/tunnel_sockets.h"
#include "unit/relay/transfer.h"

// Both ends of a link, east's gateway and south's, on one thread.
namespace tombolo::agent {

using testing::Loop;
using testing::LoopbackListener;

inline constexpr char kService[] = "shop/web";

// One root and the identities of the tests: making them is slow.
inline const testing::TestPki& Pki() {
  static const auto* pki = new testing::TestPki("td");
  return *pki;
}
inline const testing::TestPki& OtherPki() {
  static const auto* pki = new testing::TestPki("td");
  return *pki;
}

// A gateway without its process: what a data thread has.
struct Gateway {
  Gateway(Loop& loop, const std::string& name)
      : cluster(name), tasks(loop.poller().io().get_executor()) {
    config.cluster = cluster;
    config.node = "gw-1";
    config.deadlines.handshake = config.deadlines.dial = config.deadlines.ping =
        std::chrono::minutes(1);
    context = std::unique_ptr<GatewayContext>(
        new GatewayContext{loop.poller(), buffers, counters, quotas, stock, tasks});
    Identify(Pki(), "/cluster/" + cluster + "/gateway/gw-1");
  }
  void Identify(const testing::TestPki& pki, const std::string& path) {
    credentials = pki.Credentials(path);
  }
  // `id` is what the gateway thinks it is, whatever its certificate says.
  void Publish(const mesh::Snapshot& snapshot, const tls::Revocations& revoked = {}) {
    const SpiffeId id = *SpiffeId::ForGateway("td", cluster, config.node);
    std::map<SpiffeId, identity::Store::Entry> entries;
    if (credentials != nullptr) entries[id].credentials = credentials;
    context->world = std::make_shared<GatewayWorld>(GatewayWorld{
        config.deadlines, config.limits, "", gateway::Routes(snapshot, cluster, nodes),
        LinkRules(snapshot, config, identity::Store::From(std::move(entries), revoked))});
    CheckLinks(*context);
    if (links != nullptr) links->Update();
  }
  std::uint64_t Refused(gateway::Refusal reason) const {
    return counters.refused.counts[static_cast<std::size_t>(reason)];
  }
  std::uint64_t Refused(LinkRefusal reason) const {
    return counters.links_refused.counts[static_cast<std::size_t>(reason)];
  }
  std::size_t Spares() {
    std::size_t sum = 0;
    for (const auto& view : stock.View(std::chrono::steady_clock::now())) sum += view.spares;
    return sum;
  }

  const std::string cluster;
  source::AgentConfig config;
  tls::CredentialsPtr credentials;
  net::BufferPool buffers;
  GatewayCounters counters;
  Quotas quotas;
  link::Stock stock;
  gateway::Nodes nodes;
  TaskGroup tasks;
  std::unique_ptr<GatewayContext> context;
  std::unique_ptr<DialedLinks> links;
};

// One of east's gateways, which listens, and one of south's.
class LinksFixture : public ::testing::Test {
 protected:
  using Refusal = gateway::Refusal;

  LinksFixture() {
    signal(SIGPIPE, SIG_IGN);  // as the agent does
    Fd listener = *net::Listen({net::IpAddress::Loopback(false), 0}, 64);
    net::ResetOnClose(listener.get());
    address_ = *net::LocalAddress(listener.get());
    listener_ = std::make_shared<net::AsyncFd>(loop_.Adopt(std::move(listener)));
    AcceptedBy by;
    by.serve = [this](net::Accepted peer) {
      if (swallow_) {
        swallowed_.push_back(std::move(peer.socket));
      } else {
        east_.tasks.Spawn(ServeClient(*east_.context, std::move(peer)));
      }
    };
    by.refuse = [](Fd, const absl::Status&) {};
    east_.tasks.Spawn(AcceptAll(listener_, east_.quotas.reserve, std::move(by)));
    south_.config.links = {{"east"}};
    DialLinks({.first_pause = std::chrono::milliseconds(1),
               .longest_pause = std::chrono::milliseconds(20)});
  }
  ~LinksFixture() override {
    listener_->Close();
    for (Gateway* gateway : {&south_, &east_}) {
      loop_.Run(ShutDown(*gateway));
      gateway->links.reset();
      EXPECT_EQ(gateway->context->opening, 0u);
      EXPECT_EQ(gateway->buffers.in_use(), 0u);
    }
    EXPECT_EQ(east_.Spares(), 0u);
  }

  // As its thread does.
  Awaitable<void> ShutDown(Gateway& gateway) {
    gateway.context->draining = true;
    if (gateway.links != nullptr) gateway.links->Drain();
    gateway.tasks.Cancel();
    while (!gateway.context->tunnels.empty() || gateway.tasks.size() != 0) {
      for (GatewayTunnel& tunnel : gateway.context->tunnels) {
        tunnel.mover->Stop(absl::CancelledError(""));
      }
      EndLinks(*gateway.context, "the test is over");
      net::Waiter turn(loop_.poller());
      (void)co_await turn.Wait(After(std::chrono::milliseconds(1)));
    }
  }

  void DialLinks(DialedLinkPace pace) {
    south_.links = std::make_unique<DialedLinks>(
        *south_.context,
        [this](Fd socket) { south_.tasks.Spawn(ServeSpare(*south_.context, std::move(socket))); },
        pace);
  }
  // East and south, whose one service has one node; `via` is what south's gateway is reached by.
  mesh::Snapshot& Directory(const std::string& via = "east") {
    snapshot_ = std::make_unique<mesh::Snapshot>();
    snapshot_->trust_domain = "td";
    mesh::Cluster east{.name = "east"}, south{.name = "south"}, north{.name = "north"};
    east.gateways = {{.name = "gw-1", .address = address_}};
    south.nodes = {{"n1", {net::IpAddress::Loopback(false), node_.port()}}};
    south.gateways = {{.name = "gw-1", .via = via}};
    north.gateways = {{.name = "gw-1", .via = "south"}};
    snapshot_->clusters = {east, south, north};
    mesh::Workload workload;
    workload.name = "web";
    workload.cluster = "south";
    workload.node = "n1";
    workload.ns = "shop";
    workload.service_account = "web";
    workload.id = id_;
    snapshot_->workloads = {workload};
    mesh::Endpoint endpoint;
    endpoint.workload = "web";
    endpoint.cluster = "south";
    endpoint.node = "n1";
    endpoint.identity = id_;
    endpoint.address = {net::IpAddress::Loopback(false), 8080};
    mesh::Service service;
    service.ns = "shop";
    service.name = "web";
    service.ports = {{.port = 80, .endpoints = {endpoint}}};
    snapshot_->services = {service};
    EXPECT_TRUE(snapshot_->Index().ok());
    return *snapshot_;
  }
  void Publish(const std::string& via = "east", const tls::Revocations& revoked = {}) {
    const mesh::Snapshot& snapshot = Directory(via);
    east_.Publish(snapshot, revoked);
    south_.Publish(snapshot);
  }
  void Join() {
    Publish();
    ASSERT_TRUE(loop_.RunUntil([&] { return east_.Spares() == link::Refill::kLeast; }));
  }
  DialedLinkView Link() const {
    const auto views = south_.links->Views();
    return views.empty() ? DialedLinkView() : views[0];
  }

  // Of a tunnel for the service of that name that a cluster may have.
  static std::string Hello(const std::string& cluster) {
    const SpiffeId id = *SpiffeId::ForWorkload("td", cluster, "shop", "web");
    return HelloFor(tunnel::ServerName(tunnel::RoutingId(kService, 80, id), cluster));
  }
  Fd Connect() {
    auto socket = loop_.Run(net::Connect(loop_.poller(), *net::TcpSocket(address_), address_,
                                         After(std::chrono::minutes(1))));
    EXPECT_TRUE(socket.ok()) << socket.status();
    return socket->Release();
  }
  Fd Dial(const std::string& bytes) {
    Fd client = Connect();
    Send(client, bytes);
    return client;
  }
  // One end of a link that does nothing but what the test does: that it is silent, too. South's,
  // which has not said HELLO, ...
  std::unique_ptr<link::Channel> DialByHand() {
    auto session = loop_.Run(tls::HandshakeAsClient(
        loop_.Adopt(Connect()), south_.credentials, LinkServerName("east"), east_.credentials->id(),
        tls::RecordSettings(south_.buffers), After(std::chrono::minutes(1)), tls::Protocol::kLink));
    return ByHand(std::move(session));
  }
  // ... and the same after HELLO both ways.
  std::unique_ptr<link::Channel> JoinByHand(const link::Hello& hello) {
    auto channel = DialByHand();
    EXPECT_TRUE(channel->Post(hello).ok());
    EXPECT_TRUE(loop_.Run(channel->ReceiveHello(After(std::chrono::minutes(1)))).ok());
    return channel;
  }
  // East's, of the next connection that was swallowed.
  std::unique_ptr<link::Channel> AcceptByHand() {
    EXPECT_TRUE(loop_.RunUntil([&] { return !swallowed_.empty(); }));
    Fd socket = std::move(swallowed_.front());
    swallowed_.erase(swallowed_.begin());
    return ByHand(loop_.Run(tls::HandshakeAsServer(
        loop_.Adopt(std::move(socket)), [this](absl::string_view) { return east_.credentials; },
        tls::RecordSettings(east_.buffers), After(std::chrono::minutes(1)), tls::Protocol::kLink)));
  }
  static std::unique_ptr<link::Channel> ByHand(absl::StatusOr<tls::Session> session) {
    EXPECT_TRUE(session.ok()) << session.status();
    return std::make_unique<link::Channel>(*std::move(session), std::chrono::minutes(1),
                                           std::chrono::minutes(1));
  }
  // The next message that is one.
  template <typename Message>
  Message Next(link::Channel& channel) {
    const auto message = loop_.Run(channel.Receive(After(std::chrono::minutes(1))));
    EXPECT_TRUE(message.ok()) << message.status();
    EXPECT_TRUE(std::holds_alternative<Message>(*message)) << link::NameOf(*message);
    return std::get<Message>(*message);
  }
  static std::string Opening(const link::Token& token) {
    const link::Bytes opening = link::EncodeOpening(token);
    return {opening.begin(), opening.end()};
  }
  struct Ends {
    Fd client, node;
  };
  // A tunnel to south whose ClientHello has arrived.
  Ends Tunnel() {
    Ends ends{Dial(Hello("south")), {}};
    ends.node = Accept(loop_, node_);
    EXPECT_EQ(Receive(loop_, ends.node, Hello("south").size()), Hello("south"));
    return ends;
  }
  void ExpectCarried(const Ends& ends) {
    testing::MoveText(loop_, ends.client.get(), ends.node.get(), testing::Text(100'000));
    testing::MoveText(loop_, ends.node.get(), ends.client.get(), testing::Text(100'000));
  }
  // It is told to try elsewhere.
  void ExpectElsewhere(const Fd& client, Refusal reason) {
    EXPECT_EQ(Receive(loop_, client, kElsewhere.size()), kElsewhere) << Name(reason);
    EXPECT_EQ(testing::HowItEnds(loop_, client.get()), 0) << Name(reason);
    EXPECT_EQ(east_.Refused(reason), 1u) << Name(reason);
  }
  void ExpectNoLink(LinkRefusal reason) {
    EXPECT_TRUE(loop_.RunUntil([&] { return east_.Refused(reason) > 0; })) << Name(reason);
    EXPECT_EQ(east_.counters.links_accepted, 0u) << Name(reason);
    EXPECT_TRUE(loop_.RunUntil([&] { return !Link().error.empty(); }));
    EXPECT_FALSE(Link().up);
    EXPECT_EQ(east_.Spares(), 0u);
  }

  const SpiffeId id_ = *SpiffeId::ForWorkload("td", "south", "shop", "web");
  Loop loop_;
  LoopbackListener node_;
  net::SocketAddress address_;
  std::shared_ptr<net::AsyncFd> listener_;
  bool swallow_ = false;  // east accepts and says nothing any more
  std::vector<Fd> swallowed_;
  std::unique_ptr<mesh::Snapshot> snapshot_;
  Gateway east_{loop_, "east"}, south_{loop_, "south"};
};

}  // namespace tombolo::agent
