// SPDX-License-Identifier: Apache-2.0
// What a gateway does with the links that it dials.
#include "agent/dialed_links.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "link/messages.h"
#include "unit/agent/links_fixture.h"

namespace tombolo::agent {
namespace {

class DialedLinksTest : public LinksFixture {};

TEST_F(DialedLinksTest, ADialerWithoutAnIdentityWaitsForOne) {
  south_.credentials = nullptr;
  Publish();
  EXPECT_TRUE(loop_.RunUntil([&] { return !Link().error.empty(); }));
  EXPECT_NE(Link().error.find("no valid SVID"), std::string::npos) << Link().error;
  EXPECT_EQ(east_.Refused(Refusal::kLink), 0u) << "it has not even dialled";
  south_.Identify(Pki(), "/cluster/south/gateway/gw-1");
  Join();
}

TEST_F(DialedLinksTest, AnotherGatewaysNameIsNotTaken) {
  east_.Identify(Pki(), "/cluster/east/gateway/gw-2");
  Publish();
  EXPECT_TRUE(loop_.RunUntil([&] { return !Link().error.empty(); }));
  EXPECT_EQ(east_.counters.links_accepted, 0u);
}

TEST_F(DialedLinksTest, WhatHasComeOverALinkGoesNoFurther) {
  Join();
  auto [ours, theirs] = testing::TcpPair();
  south_.tasks.Spawn(ServeSpare(*south_.context, std::move(theirs)));
  const std::string hello = Hello("north");  // which is reached via south
  ASSERT_GT(send(ours.get(), hello.data(), hello.size(), MSG_NOSIGNAL), 0);
  EXPECT_EQ(Receive(loop_, ours, kElsewhere.size()), kElsewhere);
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

TEST_F(DialedLinksTest, WhatComesOverLinksIsNotOfOneAddress) {
  south_.config.limits.connections_per_address = 1;
  south_.config.limits.handshakes_per_address = 1;
  Join();
  const Ends one = Tunnel(), two = Tunnel(), three = Tunnel();
  ExpectCarried(one);
  ExpectCarried(three);
}

TEST_F(DialedLinksTest, TheDialersSparesCountAsItsConnections) {
  south_.config.limits.connections = 2;
  Publish();
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().spares == 2 && Link().spares_failed >= 2; }));
  EXPECT_EQ(south_.quotas.connections.held("this node"), 2u);
}

TEST_F(DialedLinksTest, AnIdleSpareThatEndsIsReplaced) {
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

TEST_F(DialedLinksTest, ALinkThatIsNotConfiguredAnyMoreEnds) {
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

TEST_F(DialedLinksTest, AControlConnectionIsRenewedAndItsSparesStay) {
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

TEST_F(DialedLinksTest, OnlyARenewalClaimsTheSparesOfTheLinkBefore) {
  DialLinks({.first_pause = std::chrono::milliseconds(1),
             .least_life = std::chrono::milliseconds(20),
             .life = 1e-6});
  swallow_ = true;
  Publish();
  const auto hello = [&](link::Channel& channel) {
    const auto got = loop_.Run(channel.ReceiveHello(After(std::chrono::minutes(1))));
    EXPECT_TRUE(got.ok()) << got.status();
    return got.value_or(link::Hello());
  };
  EXPECT_FALSE(hello(*AcceptByHand()).renews);
  EXPECT_FALSE(hello(*AcceptByHand()).renews) << "the one before has been lost";
  auto up = AcceptByHand();
  (void)hello(*up);
  ASSERT_TRUE(up->Post(link::Hello{.most_spares = 4}).ok());
  EXPECT_TRUE(hello(*AcceptByHand()).renews);
  // What has become of them does not matter here.
  up.reset();
  swallow_ = false;
  swallowed_.clear();
  Join();
}

// East has a bound of its own, but may be hostile.
TEST_F(DialedLinksTest, AnAcceptorThatWastesSparesGetsNoMore) {
  DialedLinkPace pace;
  pace.wasted_window = std::chrono::hours(1);
  DialLinks(pace);
  swallow_ = true;
  Publish();
  const auto east = AcceptByHand();
  ASSERT_TRUE(east->Post(link::Hello{.most_spares = 4}).ok());
  const auto offer = [&] {
    ASSERT_TRUE(east->Post(link::Offer{std::vector<link::Token>(link::kMaxTokens)}).ok());
  };
  for (std::uint64_t opened = 0; opened < 1024;) {
    offer();
    opened += link::kMaxTokens;
    EXPECT_TRUE(loop_.RunUntil([&] {
      swallowed_.clear();  // resets them
      return Link().spares_opened == opened && Link().spares == 0;
    })) << Link().spares_opened;
  }
  offer();
  loop_.Settle();
  EXPECT_EQ(Link().spares_opened, 1024u);
  EXPECT_EQ(swallowed_.size(), 0u);
}

TEST_F(DialedLinksTest, WhoHasWastedSparesGetsOthersLater) {
  DialedLinkPace pace;
  pace.most_wasted = 1;
  pace.wasted_window = std::chrono::milliseconds(1);
  DialLinks(pace);
  swallow_ = true;
  Publish();
  const auto east = AcceptByHand();
  ASSERT_TRUE(east->Post(link::Hello{.most_spares = 4}).ok());
  EXPECT_TRUE(loop_.RunUntil([&] {
    swallowed_.clear();
    EXPECT_TRUE(east->Post(link::Offer{{link::Token()}}).ok());
    return Link().spares_opened >= 3;
  }));
}

// East answers it when south has said goodbye already.
TEST_F(DialedLinksTest, ARenewalThatComesTooLateIsClosed) {
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
    const net::SocketAddress peer = *net::PeerAddress(socket.get());
    east_.tasks.Spawn(ServeClient(*east_.context, {std::move(socket), peer}));
  }
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.counters.links_accepted > accepted; }));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  EXPECT_EQ(south_.links->up(), 0u);
}

}  // namespace
}  // namespace tombolo::agent
