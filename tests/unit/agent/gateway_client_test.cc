// SPDX-License-Identifier: Apache-2.0
#include "agent/gateway_client.h"

#include <signal.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "testing/loopback_listener.h"
#include "tunnel/routing_id.h"
#include "unit/agent/tunnel_sockets.h"
#include "unit/gateway/hello_bytes.h"
#include "unit/relay/transfer.h"

namespace tombolo::agent {
namespace {

using gateway::Refusal;
using testing::LoopbackListener;

constexpr char kService[] = "shop/web";

//   client --TCP-- [ServeClient] --TCP-- one of two nodes of the cluster west
class GatewayClientTest : public ::testing::Test {
 protected:
  GatewayClientTest() {
    signal(SIGPIPE, SIG_IGN);  // as the agent does
    world_.deadlines.handshake = world_.deadlines.dial = std::chrono::minutes(1);
    Publish({one_.port(), two_.port()});
  }
  ~GatewayClientTest() override {
    for (GatewayTunnel& tunnel : context_.tunnels) tunnel.mover->Stop(absl::CancelledError(""));
    EXPECT_TRUE(loop_.RunUntil([&] { return context_.tunnels.empty(); }));
    loop_.Run(tasks_.CancelAndJoin());
    EXPECT_EQ(context_.opening, 0u);
    EXPECT_EQ(buffers_.in_use(), 0u);
  }

  // A directory in which the nodes' agents have these ports.
  void Publish(const std::vector<std::uint16_t>& ports) {
    mesh::Snapshot snapshot;
    snapshot.trust_domain = "td";
    snapshot.clusters = {{.name = "west"}, {.name = "east"}};
    mesh::Service service;
    service.ns = "shop";
    service.name = "web";
    service.ports.resize(1);
    service.ports[0].port = 80;
    snapshot.services.push_back(service);
    for (const std::uint16_t port : ports) {
      const std::string node = absl::StrCat("n", snapshot.clusters[0].nodes.size());
      snapshot.clusters[0].nodes.push_back({node, {net::IpAddress::Loopback(false), port}});
      mesh::Workload workload;
      workload.name = workload.node = node;
      workload.cluster = "west";
      workload.ns = "shop";
      workload.service_account = "web";
      workload.id = id_;
      snapshot.workloads.push_back(workload);
      mesh::Endpoint endpoint;
      endpoint.workload = endpoint.node = node;
      endpoint.cluster = "west";
      endpoint.identity = id_;
      endpoint.address = {net::IpAddress::Loopback(false), 8080};
      snapshot.services[0].ports[0].endpoints.push_back(endpoint);
    }
    ASSERT_TRUE(snapshot.Index().ok());
    context_.world = std::make_shared<GatewayWorld>(GatewayWorld{
        world_.deadlines, world_.limits, "", gateway::Routes(snapshot, "west", nodes_)});
  }
  struct World {
    source::AgentConfig::Deadlines deadlines;
    source::AgentConfig::Limits limits;
  };

  Fd Connect() {
    auto [client, accepted] = testing::TcpPair();
    net::ResetOnClose(accepted.get());  // as the listener does
    const net::SocketAddress peer = *net::PeerAddress(accepted.get());
    tasks_.Spawn(ServeClient(context_, {std::move(accepted), peer}));
    return std::move(client);
  }
  std::string GoodHello() const {
    return HelloFor(tunnel::ServerName(tunnel::RoutingId(kService, 80, id_), "west"));
  }
  std::uint64_t Refused(Refusal reason) const {
    return counters_.refused.counts[static_cast<std::size_t>(reason)];
  }
  // It is told by an alert, which arrives, and then the connection ends in order.
  void ExpectAlert(const Fd& client, Refusal reason, char alert) {
    EXPECT_EQ(Receive(loop_, client, 7), std::string({21, 3, 3, 0, 2, 2, alert})) << Name(reason);
    EXPECT_EQ(testing::HowItEnds(loop_, client.get()), 0) << Name(reason);
    EXPECT_EQ(Refused(reason), 1u) << Name(reason);
  }
  void ExpectReset(const Fd& client, Refusal reason, std::uint64_t so_far = 1) {
    EXPECT_EQ(testing::HowItEnds(loop_, client.get()), ECONNRESET) << Name(reason);
    EXPECT_EQ(Refused(reason), so_far) << Name(reason);
  }

  const SpiffeId id_ = *SpiffeId::ForWorkload("td", "west", "shop", "web");
  LoopbackListener one_, two_;
  testing::Loop loop_;
  net::BufferPool buffers_;
  GatewayCounters counters_;
  Quotas quotas_;
  TaskGroup tasks_{loop_.poller().io().get_executor()};
  gateway::Nodes nodes_;
  World world_;
  link::Stock stock_;
  GatewayContext context_{loop_.poller(), buffers_, counters_, quotas_, stock_, tasks_};
};

TEST_F(GatewayClientTest, TheNodeGetsEveryByte) {
  Publish({one_.port()});
  const Fd client = Connect();
  Send(client, GoodHello() + "and more");
  const Fd node = Accept(loop_, one_);
  EXPECT_EQ(Receive(loop_, node, GoodHello().size() + 8), GoodHello() + "and more");
  testing::MoveText(loop_, node.get(), client.get(), testing::Text(300'000));
  testing::MoveText(loop_, client.get(), node.get(), testing::Text(300'000));
  ASSERT_EQ(context_.tunnels.size(), 1u);
  EXPECT_EQ(context_.tunnels.front().service, kService);
  EXPECT_EQ(context_.tunnels.front().node->name(), "n0");
  EXPECT_EQ(counters_.tunnels, 1u);
  EXPECT_EQ(context_.opening, 0u);
}

TEST_F(GatewayClientTest, AHelloThatComesByteByByte) {
  Publish({one_.port()});
  const Fd client = Connect();
  const std::string hello = GoodHello();
  for (const char byte : hello) {
    Send(client, std::string(1, byte));
    loop_.Settle(std::chrono::milliseconds(0));
  }
  const Fd node = Accept(loop_, one_);
  EXPECT_EQ(Receive(loop_, node, hello.size()), hello);
}

TEST_F(GatewayClientTest, AHelloInManyRecords) {
  Publish({one_.port()});
  const std::string name = tunnel::ServerName(tunnel::RoutingId(kService, 80, id_), "west");
  gateway::Hello hello;
  hello.server_name = gateway::ServerNames(gateway::HostName(name));
  const std::string stream = gateway::Hello::Records(hello.Message(), 10);
  const Fd client = Connect();
  Send(client, stream.substr(0, 100));
  loop_.Settle();
  EXPECT_EQ(context_.opening, 1u);
  Send(client, stream.substr(100));
  const Fd node = Accept(loop_, one_);
  EXPECT_EQ(Receive(loop_, node, stream.size()), stream);
}

TEST_F(GatewayClientTest, WhatIsNoTunnelIsToldSo) {
  struct Case {
    std::string bytes;
    Refusal reason;
    char alert;
  };
  gateway::Hello nameless, old, web;
  nameless.server_name = "";
  old.versions = "";
  web.alpn = gateway::Alpn("http/1.1");
  const std::string large = gateway::Hello::Records(
      gateway::Number(1, 1) + gateway::Number(3, 100'000) + std::string(100'000, 'x'), 1 << 14);
  for (const Case& refused : std::vector<Case>{
           {HelloFor("example.com"), Refusal::kUnknownName, 112},
           {HelloFor(tunnel::ServerName(std::string(32, 'a'), "west")), Refusal::kUnknownName, 112},
           {HelloFor(tunnel::ServerName(std::string(32, 'a'), "east")), Refusal::kOtherCluster,
            112},
           {nameless.Record(), Refusal::kNoServerName, 109},
           {old.Record(), Refusal::kNoTls13, 70},
           {web.Record(), Refusal::kNotTombolo, 120},
           {HelloFor("a b"), Refusal::kBadServerName, 112},
           {large, Refusal::kTooLarge, 22},
           {gateway::Hello::Records("\x02zzz", 100), Refusal::kMalformed, 50}}) {
    const Fd client = Connect();
    Send(client, refused.bytes);
    counters_.refused.counts[static_cast<std::size_t>(refused.reason)] = 0;
    ExpectAlert(client, refused.reason, refused.alert);
  }
  EXPECT_TRUE(context_.tunnels.empty());
}

TEST_F(GatewayClientTest, WhatIsNotTlsIsReset) {
  const Fd client = Connect();
  Send(client, "GET / HTTP/1.1\r\n\r\n");
  ExpectReset(client, Refusal::kNotTls);
}

TEST_F(GatewayClientTest, SilenceAndSlownessHaveADeadline) {
  world_.deadlines.handshake = std::chrono::milliseconds(300);
  Publish({one_.port()});
  const Fd silent = Connect();
  ExpectReset(silent, Refusal::kTimeout);
  const Fd slow = Connect();
  const std::string hello = GoodHello();
  std::size_t sent = 0;
  EXPECT_TRUE(loop_.RunUntil([&] {
    if (Refused(Refusal::kTimeout) == 2) return true;  // a send would take the reset's error
    if (sent < hello.size() - 1 && send(slow.get(), &hello[sent], 1, MSG_NOSIGNAL) == 1) ++sent;
    return false;
  }));
  EXPECT_EQ(testing::HowItEnds(loop_, slow.get()), ECONNRESET);
}

TEST_F(GatewayClientTest, APeerThatEndsBeforeItsHelloHasIsGoneAtOnce) {
  for (const std::size_t size : {0u, 1u, 100u}) {
    Fd client = Connect();
    Send(client, GoodHello().substr(0, size));
    if (size > 1) loop_.Settle();  // waits for more already
    ASSERT_EQ(shutdown(client.get(), SHUT_WR), 0);
    counters_.refused.counts[static_cast<std::size_t>(Refusal::kGone)] = 0;
    ExpectReset(client, Refusal::kGone);
  }
  Fd client = Connect();
  Send(client, GoodHello().substr(0, 100));
  loop_.Settle();
  testing::Reset(client);
  EXPECT_TRUE(loop_.RunUntil([&] { return Refused(Refusal::kGone) == 2; }));
}

TEST_F(GatewayClientTest, AnotherNodeWhenOneCannotBeDialled) {
  std::uint16_t nobody = LoopbackListener().port();
  Publish({nobody, two_.port()});
  std::vector<Fd> kept;
  for (int i = 0; i < 4; ++i) {
    kept.push_back(Connect());
    Send(kept.back(), GoodHello());
    kept.push_back(Accept(loop_, two_));
  }
  EXPECT_TRUE(loop_.RunUntil([&] { return counters_.tunnels == 4; }));
  const auto& dead = nodes_.all().at({"n0", {net::IpAddress::Loopback(false), nobody}, ""});
  EXPECT_EQ(dead->failed(), 1u);  // once, then it is avoided
  EXPECT_EQ(dead->tunnels(), 0u);
}

TEST_F(GatewayClientTest, NoNodeCanBeDialled) {
  Publish({LoopbackListener().port(), LoopbackListener().port()});
  const Fd client = Connect();
  Send(client, GoodHello());
  ExpectAlert(client, Refusal::kUnavailable, 112);
}

TEST_F(GatewayClientTest, NothingIsServed) {
  Publish({});
  const Fd client = Connect();
  Send(client, GoodHello());
  ExpectAlert(client, Refusal::kUnknownName, 112);
}

TEST_F(GatewayClientTest, LimitsOfWhatHasNotShownItsHello) {
  world_.limits.handshakes_per_address = 2;
  Publish({one_.port()});
  const Fd first = Connect(), second = Connect();
  loop_.Settle();
  ExpectReset(Connect(), Refusal::kHandshakeLimit);
  // A tunnel is one of them until both ends have said something.
  Send(first, GoodHello());
  const Fd node = Accept(loop_, one_);
  ExpectReset(Connect(), Refusal::kHandshakeLimit, 2);
  EXPECT_EQ(Receive(loop_, node, GoodHello().size()), GoodHello());
  Send(node, "server's flight");
  EXPECT_EQ(Receive(loop_, first, 15), "server's flight");
  Send(first, "client's flight");
  EXPECT_EQ(Receive(loop_, node, 15), "client's flight");
  const Fd third = Connect();
  loop_.Settle();
  EXPECT_EQ(Refused(Refusal::kHandshakeLimit), 2u);
  counters_.refused.counts[static_cast<std::size_t>(Refusal::kHandshakeLimit)] = 0;
  ExpectReset(Connect(), Refusal::kHandshakeLimit);
}

TEST_F(GatewayClientTest, LimitsOfConnections) {
  world_.limits.connections_per_address = 1;
  Publish({one_.port()});
  Fd first = Connect();
  Send(first, GoodHello());
  Fd node = Accept(loop_, one_);
  ExpectReset(Connect(), Refusal::kConnectionLimit);
  testing::Reset(first);
  EXPECT_TRUE(loop_.RunUntil([&] { return context_.tunnels.empty(); }));
  EXPECT_EQ(counters_.reset, 1u);
  first = Connect();
  Send(first, GoodHello());
  node = Accept(loop_, one_);
  EXPECT_EQ(Refused(Refusal::kConnectionLimit), 1u);
}

TEST_F(GatewayClientTest, WithoutDescriptorsItIsRefused) {
  auto [client, accepted] = testing::TcpPair();
  net::ResetOnClose(accepted.get());
  RefuseClient(context_, std::move(accepted), ReserveNeeded());
  ExpectReset(client, Refusal::kResources);
}

TEST_F(GatewayClientTest, WhoHasGoneBeforeItWasRefusedIsNotKnown) {
  Fd gone = *net::TcpSocket({net::IpAddress::Loopback(false), 1});  // has no peer
  ::testing::internal::CaptureStderr();
  RefuseClient(context_, std::move(gone), ReserveNeeded());
  const std::string line = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(line.find("peer=unknown"), std::string::npos) << line;
}

}  // namespace
}  // namespace tombolo::agent
