// SPDX-License-Identifier: Apache-2.0
// What a gateway lets the other end of a link that was dialled to it do.
#include "agent/accepted_link.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "link/messages.h"
#include "unit/agent/links_fixture.h"

namespace tombolo::agent {
namespace {

class AcceptedLinkTest : public LinksFixture {};

TEST_F(AcceptedLinkTest, ATunnelRidesASpareEveryByteOfIt) {
  Join();
  const std::string hello = Hello("south");
  const Fd client = Dial(hello + "and more");
  const Fd node = Accept(loop_, node_);
  EXPECT_EQ(Receive(loop_, node, hello.size() + 8), hello + "and more");
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

TEST_F(AcceptedLinkTest, SparesAreRefilledDuringABurst) {
  Join();
  std::vector<Fd> ends;
  for (int i = 0; i < 40; ++i) {
    ends.push_back(Dial(Hello("south")));
    ends.push_back(Accept(loop_, node_));
  }
  EXPECT_EQ(east_.stock.counts().taken, 40u);
  EXPECT_EQ(east_.Refused(Refusal::kNoSpare), 0u);
  // More are kept than before.
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Spares() > link::Refill::kLeast; }));
}

TEST_F(AcceptedLinkTest, WhoComesBeforeTheFirstSpareWaitsForIt) {
  Publish();
  std::vector<Fd> clients;
  EXPECT_TRUE(loop_.RunUntil([&] { return !east_.context->accepted_links.empty(); }));
  for (int i = 0; i < 12; ++i) clients.push_back(Dial(Hello("south")));
  std::vector<Fd> nodes;
  for (int i = 0; i < 12; ++i) nodes.push_back(Accept(loop_, node_));
  EXPECT_EQ(east_.counters.tunnels, 12u);
}

TEST_F(AcceptedLinkTest, WithoutALinkTheDialerIsToldAtOnce) {
  south_.config.links.clear();
  Publish();
  ExpectElsewhere(Dial(Hello("south")), Refusal::kNoLink);
}

TEST_F(AcceptedLinkTest, WithoutASpareInTimeTheDialerIsTold) {
  south_.config.links.clear();
  east_.config.deadlines.dial = std::chrono::milliseconds(200);
  Publish();
  // A link whose other end opens no spares.
  const auto member = east_.stock.Add(
      {.cluster = "south", .gateway = "gw-1", .most_spares = 4, .refill = [] {}, .replaced = [] {}},
      std::chrono::steady_clock::now());
  ExpectElsewhere(Dial(Hello("south")), Refusal::kNoSpare);
  EXPECT_EQ(east_.stock.counts().waiting, 0u);
}

// So that a stranger cannot fill the list with names that nobody has.
TEST_F(AcceptedLinkTest, WhoWaitsForASpareIsAtItsHandshakeStill) {
  south_.config.links.clear();
  Publish();
  auto member = east_.stock.Add(
      {.cluster = "south", .gateway = "gw-1", .most_spares = 4, .refill = [] {}, .replaced = [] {}},
      std::chrono::steady_clock::now());
  const Fd client = Dial(Hello("south"));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.stock.counts().waiting == 1; }));
  EXPECT_EQ(east_.quotas.handshakes.held("this node"), 1u);
  member.reset();
  ExpectElsewhere(client, Refusal::kNoLink);
  EXPECT_EQ(east_.quotas.handshakes.held("this node"), 0u);
}

TEST_F(AcceptedLinkTest, ANodesIdentityMakesNoLink) {
  south_.Identify(Pki(), "/cluster/south/node/gw-1");
  Publish();
  ExpectNoLink(LinkRefusal::kIdentity);
}

TEST_F(AcceptedLinkTest, AGatewayOfAClusterThatIsNotReachedThisWay) {
  Publish("north");
  ExpectNoLink(LinkRefusal::kDirectory);
  EXPECT_NE(Link().error.find("is reached via 'east'"), std::string::npos) << Link().error;
}

TEST_F(AcceptedLinkTest, AGatewayOfAnotherCluster) {
  south_.Identify(Pki(), "/cluster/north/gateway/gw-1");
  Publish();
  ExpectNoLink(LinkRefusal::kDirectory);
}

TEST_F(AcceptedLinkTest, AGatewaySpeaksForItsOwnClusterOnly) {
  south_.Identify(Pki(), "/cluster/north/gateway/gw-1");
  mesh::Snapshot& snapshot = Directory();
  snapshot.clusters[2].gateways[0].via = "east";
  east_.Publish(snapshot);
  south_.Publish(snapshot);
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Spares() == link::Refill::kLeast; }));
  ExpectElsewhere(Dial(Hello("south")), Refusal::kNoLink);
  EXPECT_EQ(east_.Spares(), link::Refill::kLeast);
}

TEST_F(AcceptedLinkTest, WhoLeavesTheDirectoryBeforeItHasSaidHello) {
  south_.config.links.clear();
  Publish();
  const auto dialer = DialByHand();
  loop_.Settle();  // east knows who it is, and waits
  east_.Publish(Directory("north"));
  ASSERT_TRUE(dialer->Post(link::Hello{.most_spares = 4}).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(
      loop_.Run(dialer->ReceiveHello(After(std::chrono::minutes(1)))).status()));
  EXPECT_EQ(east_.Refused(LinkRefusal::kDirectory), 1u);
  EXPECT_EQ(east_.counters.links_accepted, 0u);
}

TEST_F(AcceptedLinkTest, WhomAnotherRootVouchesFor) {
  south_.Identify(OtherPki(), "/cluster/south/gateway/gw-1");
  Publish();
  ExpectNoLink(LinkRefusal::kHandshake);
}

TEST_F(AcceptedLinkTest, WithoutAnIdentityThereAreNoLinks) {
  east_.credentials = nullptr;
  Publish();
  ExpectNoLink(LinkRefusal::kNoIdentity);
}

TEST_F(AcceptedLinkTest, ATokenIsGoodForOneConnection) {
  Join();
  const auto show = [&](const std::string& opening) {
    const Fd spare = Dial(opening);
    EXPECT_EQ(testing::HowItEnds(loop_, spare.get()), ECONNRESET);
  };
  const auto refused = [&](link::TokenRefusal why) {
    return east_.stock.counts().refused[static_cast<std::size_t>(why)];
  };
  std::string opening = Opening(link::Token{1, 2, 3});
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
  const std::string good = Opening(tokens[0]);
  const Fd first = Dial(good);
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Spares() == link::Refill::kLeast + 1; }));
  show(good);
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

TEST_F(AcceptedLinkTest, SparesCountAsConnectionsOfTheirAddress) {
  east_.config.limits.connections_per_address = 3;  // the link, and two spares
  Publish();
  EXPECT_TRUE(loop_.RunUntil(
      [&] { return east_.Spares() == 2 && east_.Refused(Refusal::kConnectionLimit) > 0; }));
}

}  // namespace
}  // namespace tombolo::agent
