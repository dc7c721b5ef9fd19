// SPDX-License-Identifier: Apache-2.0
// Both ends of a link, east's gateway and south's, on one thread.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

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
#include "link/messages.h"
#include "net/socket.h"
#include "testing/loopback_listener.h"
#include "testing/test_pki.h"
#include "tunnel/routing_id.h"
#include "unit/gateway/hello_bytes.h"
#include "unit/relay/transfer.h"

namespace tombolo::agent {
namespace {

using gateway::Refusal;
using testing::Loop;
using testing::LoopbackListener;

constexpr char kService[] = "shop/web";

// One root and the identities of the tests: making them is slow.
const testing::TestPki& Pki() {
  static const auto* pki = new testing::TestPki("td");
  return *pki;
}
const testing::TestPki& OtherPki() {
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
  std::uint64_t Refused(Refusal reason) const {
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

class LinksTest : public ::testing::Test {
 protected:
  LinksTest() {
    signal(SIGPIPE, SIG_IGN);  // as the agent does
    Fd listener = *net::Listen({net::IpAddress::Loopback(false), 0}, 64);
    net::ResetOnClose(listener.get());
    address_ = *net::LocalAddress(listener.get());
    listener_ = std::make_shared<net::AsyncFd>(loop_.Adopt(std::move(listener)));
    AcceptedBy by;
    by.serve = [this](Fd socket) {
      if (swallow_) {
        swallowed_.push_back(std::move(socket));
      } else {
        east_.tasks.Spawn(ServeClient(*east_.context, std::move(socket)));
      }
    };
    by.refuse = [](Fd, const absl::Status&) {};
    east_.tasks.Spawn(AcceptAll(listener_, east_.quotas.reserve, std::move(by)));
    south_.config.links = {{"east"}};
    DialLinks({.first_pause = std::chrono::milliseconds(1),
               .longest_pause = std::chrono::milliseconds(20)});
  }
  ~LinksTest() override {
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

  static std::string HelloFor(const std::string& cluster) {
    gateway::Hello hello;
    const SpiffeId id = *SpiffeId::ForWorkload("td", cluster, "shop", "web");
    hello.server_name = gateway::ServerNames(
        gateway::HostName(tunnel::ServerName(tunnel::RoutingId(kService, 80, id), cluster)));
    return hello.Record();
  }
  Fd Connect() {
    auto socket = loop_.Run(net::Connect(loop_.poller(), *net::TcpSocket(address_), address_,
                                         After(std::chrono::minutes(1))));
    EXPECT_TRUE(socket.ok()) << socket.status();
    return socket->Release();
  }
  Fd Dial(const std::string& bytes) {
    Fd client = Connect();
    EXPECT_EQ(send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    return client;
  }
  Fd AcceptAtNode() {
    pollfd wait{.fd = node_.fd(), .events = POLLIN, .revents = 0};
    EXPECT_TRUE(loop_.RunUntil([&] { return poll(&wait, 1, 0) == 1; })) << "nobody has dialled";
    Fd fd = node_.Accept();
    fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    return fd;
  }
  std::string Receive(const Fd& fd, std::size_t size) {
    std::string got(size, '\0');
    std::size_t have = 0;
    EXPECT_TRUE(loop_.RunUntil([&] {
      const ssize_t n = recv(fd.get(), got.data() + have, size - have, 0);
      if (n > 0) have += static_cast<std::size_t>(n);
      return n == 0 || have == size;
    }));
    return got.substr(0, have);
  }
  struct Ends {
    Fd client, node;
  };
  // A tunnel to south whose ClientHello has arrived.
  Ends Tunnel() {
    Ends ends{Dial(HelloFor("south")), {}};
    ends.node = AcceptAtNode();
    EXPECT_EQ(Receive(ends.node, HelloFor("south").size()), HelloFor("south"));
    return ends;
  }
  void ExpectCarried(const Ends& ends) {
    testing::MoveText(loop_, ends.client.get(), ends.node.get(), testing::Text(100'000));
    testing::MoveText(loop_, ends.node.get(), ends.client.get(), testing::Text(100'000));
  }
  // It is told to try elsewhere.
  void ExpectElsewhere(const Fd& client, Refusal reason) {
    EXPECT_EQ(Receive(client, 7), std::string({21, 3, 3, 0, 2, 2, 112})) << Name(reason);
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

TEST_F(LinksTest, ATunnelRidesASpareEveryByteOfIt) {
  Join();
  const std::string hello = HelloFor("south");
  const Fd client = Dial(hello + "and more");
  const Fd node = AcceptAtNode();
  EXPECT_EQ(Receive(node, hello.size() + 8), hello + "and more");
  testing::MoveText(loop_, node.get(), client.get(), testing::Text(300'000));
  testing::MoveText(loop_, client.get(), node.get(), testing::Text(300'000));
  ASSERT_EQ(east_.context->tunnels.size(), 1u);
  EXPECT_EQ(east_.context->tunnels.front().link, "south/gw-1");
  ASSERT_EQ(south_.context->tunnels.size(), 1u);
  EXPECT_EQ(south_.context->tunnels.front().node->name(), "n1");
  EXPECT_EQ(south_.context->tunnels.front().service, kService);
  EXPECT_EQ(Link().tunnels, 1u);
  EXPECT_EQ(east_.stock.counts().taken, 1u);
  // An end is an end at the other side.
  ASSERT_EQ(shutdown(client.get(), SHUT_WR), 0);
  EXPECT_EQ(testing::HowItEnds(loop_, node.get()), 0);
  ASSERT_EQ(shutdown(node.get(), SHUT_WR), 0);
  EXPECT_EQ(testing::HowItEnds(loop_, client.get()), 0);
}

TEST_F(LinksTest, SparesAreRefilledDuringABurst) {
  Join();
  std::vector<Fd> ends;
  for (int i = 0; i < 40; ++i) {
    ends.push_back(Dial(HelloFor("south")));
    ends.push_back(AcceptAtNode());
  }
  EXPECT_EQ(east_.stock.counts().taken, 40u);
  EXPECT_EQ(east_.Refused(Refusal::kNoSpare), 0u);
  // More are kept than before.
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Spares() > link::Refill::kLeast; }));
}

TEST_F(LinksTest, WhoComesBeforeTheFirstSpareWaitsForIt) {
  Publish();
  std::vector<Fd> clients;
  EXPECT_TRUE(loop_.RunUntil([&] { return !east_.context->accepted_links.empty(); }));
  for (int i = 0; i < 12; ++i) clients.push_back(Dial(HelloFor("south")));
  std::vector<Fd> nodes;
  for (int i = 0; i < 12; ++i) nodes.push_back(AcceptAtNode());
  EXPECT_EQ(east_.counters.tunnels, 12u);
}

TEST_F(LinksTest, WithoutALinkTheDialerIsToldAtOnce) {
  south_.config.links.clear();
  Publish();
  ExpectElsewhere(Dial(HelloFor("south")), Refusal::kNoLink);
}

TEST_F(LinksTest, WithoutASpareInTimeTheDialerIsTold) {
  south_.config.links.clear();
  east_.config.deadlines.dial = std::chrono::milliseconds(200);
  Publish();
  // A link whose other end opens no spares.
  const auto member = east_.stock.Add(
      {.cluster = "south", .gateway = "gw-1", .most_spares = 4, .refill = [] {}, .replaced = [] {}},
      std::chrono::steady_clock::now());
  ExpectElsewhere(Dial(HelloFor("south")), Refusal::kNoSpare);
  EXPECT_EQ(east_.stock.counts().waiting, 0u);
}

// So that a stranger cannot fill the list with names that nobody has.
TEST_F(LinksTest, WhoWaitsForASpareIsAtItsHandshakeStill) {
  south_.config.links.clear();
  Publish();
  auto member = east_.stock.Add(
      {.cluster = "south", .gateway = "gw-1", .most_spares = 4, .refill = [] {}, .replaced = [] {}},
      std::chrono::steady_clock::now());
  const Fd client = Dial(HelloFor("south"));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.stock.counts().waiting == 1; }));
  EXPECT_EQ(east_.quotas.handshakes.held("this node"), 1u);
  member.reset();
  ExpectElsewhere(client, Refusal::kNoLink);
  EXPECT_EQ(east_.quotas.handshakes.held("this node"), 0u);
}

TEST_F(LinksTest, WhatHasComeOverALinkGoesNoFurther) {
  Join();
  auto [ours, theirs] = testing::TcpPair();
  south_.tasks.Spawn(ServeSpare(*south_.context, std::move(theirs)));
  const std::string hello = HelloFor("north");  // which is reached via south
  ASSERT_GT(send(ours.get(), hello.data(), hello.size(), MSG_NOSIGNAL), 0);
  EXPECT_EQ(Receive(ours, 7), std::string({21, 3, 3, 0, 2, 2, 112}));
  EXPECT_EQ(south_.Refused(Refusal::kOtherCluster), 1u);
  for (const bool link : {true, false}) {
    auto [mine, served] = testing::TcpPair();
    south_.tasks.Spawn(ServeSpare(*south_.context, std::move(served)));
    gateway::Hello other;
    other.alpn = gateway::Alpn("tombolo-link/1");
    const link::Bytes opening = link::EncodeOpening({});
    const std::string bytes = link ? other.Record() : std::string(opening.begin(), opening.end());
    ASSERT_GT(send(mine.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
    (void)testing::HowItEnds(loop_, mine.get());
    EXPECT_EQ(south_.Refused(link ? Refusal::kNotTombolo : Refusal::kNotTls), 1u);
  }
}

TEST_F(LinksTest, ANodesIdentityMakesNoLink) {
  south_.Identify(Pki(), "/cluster/south/node/gw-1");
  Publish();
  ExpectNoLink(LinkRefusal::kIdentity);
}

TEST_F(LinksTest, AGatewayOfAClusterThatIsNotReachedThisWay) {
  Publish("north");
  ExpectNoLink(LinkRefusal::kDirectory);
  EXPECT_NE(Link().error.find("is reached via 'east'"), std::string::npos) << Link().error;
}

TEST_F(LinksTest, AGatewayOfAnotherCluster) {
  south_.Identify(Pki(), "/cluster/north/gateway/gw-1");
  Publish();
  ExpectNoLink(LinkRefusal::kDirectory);
}

TEST_F(LinksTest, WhomAnotherRootVouchesFor) {
  south_.Identify(OtherPki(), "/cluster/south/gateway/gw-1");
  Publish();
  ExpectNoLink(LinkRefusal::kHandshake);
}

TEST_F(LinksTest, WithoutAnIdentityThereAreNoLinks) {
  east_.credentials = nullptr;
  Publish();
  ExpectNoLink(LinkRefusal::kNoIdentity);
}

TEST_F(LinksTest, ADialerWithoutAnIdentityWaitsForOne) {
  south_.credentials = nullptr;
  Publish();
  EXPECT_TRUE(loop_.RunUntil([&] { return !Link().error.empty(); }));
  EXPECT_NE(Link().error.find("no valid SVID"), std::string::npos) << Link().error;
  EXPECT_EQ(east_.Refused(Refusal::kLink), 0u) << "it has not even dialled";
  south_.Identify(Pki(), "/cluster/south/gateway/gw-1");
  Join();
}

TEST_F(LinksTest, AnotherGatewaysNameIsNotTaken) {
  east_.Identify(Pki(), "/cluster/east/gateway/gw-2");
  Publish();
  EXPECT_TRUE(loop_.RunUntil([&] { return !Link().error.empty(); }));
  EXPECT_EQ(east_.counters.links_accepted, 0u);
}

TEST_F(LinksTest, ATokenIsGoodForOneConnection) {
  Join();
  const auto show = [&](const std::string& opening) {
    const Fd spare = Dial(opening);
    EXPECT_EQ(testing::HowItEnds(loop_, spare.get()), ECONNRESET);
  };
  const auto refused = [&](link::TokenRefusal why) {
    return east_.stock.counts().refused[static_cast<std::size_t>(why)];
  };
  const link::Bytes garbage = link::EncodeOpening(link::Token{1, 2, 3});
  std::string opening(garbage.begin(), garbage.end());
  show(opening);
  EXPECT_EQ(refused(link::TokenRefusal::kUnknown), 1u);
  opening[1] = 9;
  show(opening);
  EXPECT_EQ(refused(link::TokenRefusal::kVersion), 1u);
  // As somebody who has seen one on the way would.
  auto member = east_.stock.Add(
      {.cluster = "north", .gateway = "gw-1", .most_spares = 4, .refill = [] {}, .replaced = [] {}},
      std::chrono::steady_clock::now());
  const auto tokens = member->HandOut(std::chrono::steady_clock::now());
  const link::Bytes good = link::EncodeOpening(tokens[0]);
  const Fd first = Dial(std::string(good.begin(), good.end()));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Spares() == link::Refill::kLeast + 1; }));
  show(std::string(good.begin(), good.end()));
  EXPECT_EQ(refused(link::TokenRefusal::kUsed), 1u);
  EXPECT_EQ(east_.Refused(Refusal::kToken), 3u);
  // One that is not whole waits for the rest, as a ClientHello does, and no longer.
  const Fd part = Dial("T");
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->opening == 1; }));
  ASSERT_EQ(shutdown(part.get(), SHUT_WR), 0);
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Refused(Refusal::kGone) == 1; }));
  member.reset();
  EXPECT_EQ(testing::HowItEnds(loop_, first.get()), ECONNRESET);
}

TEST_F(LinksTest, SparesCountAsConnectionsOfTheirAddress) {
  east_.config.limits.connections_per_address = 3;  // the link, and two spares
  Publish();
  EXPECT_TRUE(loop_.RunUntil(
      [&] { return east_.Spares() == 2 && east_.Refused(Refusal::kConnectionLimit) > 0; }));
}

TEST_F(LinksTest, AnIdleSpareThatEndsIsReplaced) {
  Join();
  EXPECT_EQ(Link().spares, link::Refill::kLeast);
  const std::uint64_t opened = Link().spares_opened;
  {
    const auto wish = east_.stock.Want(
        "south", [] {}, std::chrono::steady_clock::now());
    const auto taken = (*wish)->Take();
    ASSERT_TRUE(taken.has_value());
  }
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().spares_opened >= opened + 3; }));
  EXPECT_EQ(Link().tunnels, 0u);
}

TEST_F(LinksTest, ALinkThatEndsIsMadeAgain) {
  Join();
  const std::uint64_t attempts = Link().attempts;
  EndLinks(*east_.context, "for a test");
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().attempts > attempts; }));
  EXPECT_EQ(Link().lost, 0u) << "it was told";
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().up && Link().spares == link::Refill::kLeast; }));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Spares() == link::Refill::kLeast; }));
}

// A dialer that answers nothing, as one behind a way that drops everything.
TEST_F(LinksTest, ASilentDialerIsLostWithItsSparesAtOnce) {
  south_.config.links.clear();
  east_.config.deadlines.ping = std::chrono::milliseconds(500);
  Publish();
  auto socket = loop_.Run(net::Connect(loop_.poller(), *net::TcpSocket(address_), address_,
                                       After(std::chrono::minutes(1))));
  auto session = loop_.Run(tls::HandshakeAsClient(
      *std::move(socket), south_.credentials, LinkServerName("east"), east_.credentials->id(),
      tls::RecordSettings(south_.buffers), After(std::chrono::minutes(1)), tls::Protocol::kLink));
  ASSERT_TRUE(session.ok()) << session.status();
  link::Channel channel(*std::move(session), std::chrono::minutes(1), std::chrono::minutes(1));
  ASSERT_TRUE(channel.Post(link::Hello{.most_spares = 4}).ok());
  ASSERT_TRUE(loop_.Run(channel.ReceiveHello(After(std::chrono::minutes(1)))).ok());
  // It answers until its spare is there.
  std::vector<link::Token> tokens;
  auto answering =
      loop_.Start([](link::Channel& channel, std::vector<link::Token>& tokens) -> Awaitable<bool> {
        for (;;) {
          const auto message = co_await channel.Receive(After(std::chrono::minutes(1)));
          if (!message.ok()) co_return absl::IsCancelled(message.status());
          if (const auto* offer = std::get_if<link::Offer>(&*message)) tokens = offer->tokens;
        }
      }(channel, tokens));
  ASSERT_TRUE(loop_.RunUntil([&] { return !tokens.empty(); }));
  const link::Bytes opening = link::EncodeOpening(tokens[0]);
  const Fd spare = Dial(std::string(opening.begin(), opening.end()));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.stock.counts().redeemed == 1; }));
  channel.Interrupt();
  ASSERT_TRUE(loop_.RunUntil([&] { return answering->has_value(); }));
  EXPECT_TRUE(**answering);
  EXPECT_EQ(testing::HowItEnds(loop_, spare.get()), ECONNRESET);
  EXPECT_EQ(east_.counters.links_lost, 1u);
  EXPECT_TRUE(east_.context->accepted_links.empty());
}

TEST_F(LinksTest, ASilentAcceptorIsDialledAgain) {
  south_.config.deadlines.ping = std::chrono::milliseconds(100);
  swallow_ = true;
  Publish();
  EXPECT_TRUE(loop_.RunUntil([&] { return swallowed_.size() == 1; }));
  auto session = loop_.Run(tls::HandshakeAsServer(
      loop_.Adopt(std::move(swallowed_[0])),
      [this](absl::string_view) { return east_.credentials; }, tls::RecordSettings(east_.buffers),
      After(std::chrono::minutes(1)), tls::Protocol::kLink));
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(session->stream->PostControl(link::Encode(link::Hello{.most_spares = 4})).ok());
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().up; }));
  swallow_ = false;
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().lost == 1; }));
  EXPECT_NE(Link().error.find("no answer to PING"), std::string::npos) << Link().error;
  south_.config.deadlines.ping = std::chrono::minutes(1);
  Join();
}

TEST_F(LinksTest, WhoIsNotInTheDirectoryAnyMoreIsLetGo) {
  Join();
  const Ends running = Tunnel();
  const mesh::Snapshot& without = Directory("north");
  east_.Publish(without);
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  EXPECT_EQ(east_.Spares(), 0u);
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Refused(LinkRefusal::kDirectory) > 0; }));
  ExpectCarried(running);
}

TEST_F(LinksTest, WhoIsRevokedIsLetGo) {
  Join();
  east_.Publish(*snapshot_, {.ids = {"spiffe://td/cluster/south/gateway/gw-1"}});
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  EXPECT_EQ(east_.Spares(), 0u);
  EXPECT_EQ(east_.counters.links_accepted, 1u);
}

TEST_F(LinksTest, TheDialerLetsGoWhoIsRevoked) {
  Join();
  south_.Publish(*snapshot_, {.ids = {"spiffe://td/cluster/east/gateway/gw-1"}});
  EXPECT_TRUE(loop_.RunUntil([&] { return !Link().up && Link().attempts > 1; }));
  EXPECT_EQ(Link().spares, 0u);
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  south_.Publish(*snapshot_);
  Join();
}

// As while an SVID is checked against another trust bundle.
TEST_F(LinksTest, AnIdentityThatIsMissingForAMomentEndsNoLink) {
  Join();
  for (Gateway* gateway : {&east_, &south_}) {
    const tls::CredentialsPtr before = std::exchange(gateway->credentials, nullptr);
    gateway->Publish(*snapshot_);
    loop_.Settle();
    gateway->credentials = before;
    gateway->Publish(*snapshot_);
  }
  ExpectCarried(Tunnel());
  EXPECT_TRUE(Link().up);
  EXPECT_EQ(Link().attempts, 1u);
}

TEST_F(LinksTest, WhoIsRevokedItselfKeepsNoLink) {
  Join();
  east_.Publish(*snapshot_, {.ids = {"spiffe://td/cluster/east/gateway/gw-1"}});
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  EXPECT_EQ(east_.Spares(), 0u);
}

TEST_F(LinksTest, WhatComesOverLinksIsNotOfOneAddress) {
  south_.config.limits.connections_per_address = 1;
  south_.config.limits.handshakes_per_address = 1;
  Join();
  const Ends one = Tunnel(), two = Tunnel(), three = Tunnel();
  ExpectCarried(one);
  ExpectCarried(three);
}

TEST_F(LinksTest, TheDialersSparesCountAsItsConnections) {
  south_.config.limits.connections = 2;
  Publish();
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().spares == 2 && Link().spares_failed >= 2; }));
  EXPECT_EQ(south_.quotas.connections.held("this node"), 2u);
}

// East answers it when south has said goodbye already.
TEST_F(LinksTest, ARenewalThatComesTooLateIsClosed) {
  DialLinks({.first_pause = std::chrono::milliseconds(1),
             .least_life = std::chrono::milliseconds(20),
             .life = 1e-6});
  Join();
  swallow_ = true;
  EXPECT_TRUE(loop_.RunUntil([&] { return !swallowed_.empty(); }));
  south_.context->draining = true;
  south_.links->Drain();
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  EXPECT_TRUE(loop_.RunUntil([&] { return !Link().up; }));
  EXPECT_EQ(south_.links->up(), 1u) << "a drain waits for it";
  const std::uint64_t accepted = east_.counters.links_accepted;
  for (Fd& socket : swallowed_) {
    east_.tasks.Spawn(ServeClient(*east_.context, std::move(socket)));
  }
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.counters.links_accepted > accepted; }));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  EXPECT_EQ(south_.links->up(), 0u);
}

TEST_F(LinksTest, ALinkThatIsNotConfiguredAnyMoreEnds) {
  Join();
  const Ends running = Tunnel();
  south_.config.links.clear();
  south_.Publish(*snapshot_);
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  EXPECT_TRUE(loop_.RunUntil([&] { return south_.links->Views().empty(); }));
  EXPECT_EQ(south_.links->counts().tunnels, 1u) << "counters only grow";
  ExpectCarried(running);
  EXPECT_EQ(east_.Spares(), 0u);
  south_.config.links = {{"east"}};
  Join();
}

TEST_F(LinksTest, RunningTunnelsOutliveEitherSidesDrain) {
  for (const bool by_dialer : {true, false}) {
    Join();
    const Ends running = Tunnel();
    if (by_dialer) {
      south_.context->draining = true;
      south_.links->Drain();
    } else {
      east_.context->draining = true;
      EndLinks(*east_.context, "draining");
    }
    EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
    EXPECT_EQ(east_.Spares(), 0u);
    ExpectCarried(running);
    if (!by_dialer) {
      EXPECT_TRUE(loop_.RunUntil([&] { return east_.Refused(Refusal::kDraining) > 0; }));
      break;
    }
    EXPECT_TRUE(loop_.RunUntil([&] { return Link().spares == 0; }));
    EXPECT_TRUE(loop_.RunUntil([&] { return south_.tasks.size() == 0; }));
    south_.context->draining = false;
    DialLinks({.first_pause = std::chrono::milliseconds(1)});
  }
}

TEST_F(LinksTest, AControlConnectionIsRenewedAndItsSparesStay) {
  // A thousandth of what is left of an hour or a day.
  DialLinks({.first_pause = std::chrono::milliseconds(1),
             .least_life = std::chrono::milliseconds(20),
             .life = 1e-6});
  Join();
  const auto before = east_.stock.View(std::chrono::steady_clock::now())[0].since;
  const std::uint64_t opened = east_.stock.counts().redeemed;
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.counters.links_accepted >= 4; }));
  const auto views = east_.stock.View(std::chrono::steady_clock::now());
  ASSERT_EQ(views.size(), 1u);
  EXPECT_GT(views[0].since, before);
  EXPECT_EQ(views[0].spares, link::Refill::kLeast);
  EXPECT_EQ(east_.stock.counts().redeemed, opened);
  EXPECT_EQ(Link().lost, 0u);
  EXPECT_EQ(Link().attempts, 1u);
  ExpectCarried(Tunnel());
}

}  // namespace
}  // namespace tombolo::agent
