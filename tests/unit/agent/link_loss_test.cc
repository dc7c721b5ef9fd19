// SPDX-License-Identifier: Apache-2.0
// How links end, and what is left then.

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "link/messages.h"
#include "unit/agent/links_fixture.h"

namespace tombolo::agent {
namespace {

class LinkLossTest : public LinksFixture {};

TEST_F(LinkLossTest, ALinkThatEndsIsMadeAgain) {
  Join();
  const std::uint64_t attempts = Link().attempts;
  EndLinks(*east_.context, "for a test");
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().attempts > attempts; }));
  EXPECT_EQ(Link().lost, 0u) << "it was told";
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().up && Link().spares == link::Refill::kLeast; }));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Spares() == link::Refill::kLeast; }));
}

// A dialer that answers nothing, as one behind a way that drops everything.
TEST_F(LinkLossTest, ASilentDialerIsLostWithItsSparesAtOnce) {
  south_.config.links.clear();
  east_.config.deadlines.ping = std::chrono::milliseconds(500);
  Publish();
  const auto dialer = JoinByHand({.most_spares = 4});
  link::Channel& channel = *dialer;
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
  const Fd spare = Dial(Opening(tokens[0]));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.stock.counts().redeemed == 1; }));
  channel.Interrupt();
  ASSERT_TRUE(loop_.RunUntil([&] { return answering->has_value(); }));
  EXPECT_TRUE(**answering);
  EXPECT_EQ(testing::HowItEnds(loop_, spare.get()), ECONNRESET);
  EXPECT_EQ(east_.counters.links_lost, 1u);
  EXPECT_TRUE(east_.context->accepted_links.empty());
}

TEST_F(LinkLossTest, ASilentAcceptorIsDialledAgain) {
  south_.config.deadlines.ping = std::chrono::milliseconds(100);
  swallow_ = true;
  Publish();
  const auto acceptor = AcceptByHand();
  ASSERT_TRUE(acceptor->Post(link::Hello{.most_spares = 4}).ok());
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().up; }));
  swallow_ = false;
  EXPECT_TRUE(loop_.RunUntil([&] { return Link().lost == 1; }));
  EXPECT_NE(Link().error.find("no answer to PING"), std::string::npos) << Link().error;
  south_.config.deadlines.ping = std::chrono::minutes(1);
  Join();
}

// The gateway at the other end was started again before it was missed.
TEST_F(LinkLossTest, WhoBeginsAnewHasNoSparesOfTheLinkBefore) {
  south_.config.links.clear();
  Publish();
  const auto first = JoinByHand({.most_spares = 4});
  const auto tokens = Next<link::Offer>(*first).tokens;
  const Fd spare = Dial(Opening(tokens[0]));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Spares() == 1; }));
  const auto renewed = JoinByHand({.most_spares = 4, .renews = true});
  EXPECT_EQ(east_.Spares(), 1u);
  const auto anew = JoinByHand({.most_spares = 4, .renews = false});
  EXPECT_EQ(testing::HowItEnds(loop_, spare.get()), ECONNRESET);
  EXPECT_EQ(east_.Spares(), 0u);
  const Fd late = Dial(Opening(tokens[1]));
  EXPECT_EQ(testing::HowItEnds(loop_, late.get()), ECONNRESET);
  EXPECT_EQ(east_.Refused(Refusal::kToken), 1u);
}

// Before this side has said goodbye, too, which may take the other one a while to hear.
TEST_F(LinkLossTest, WhoSaysGoodbyeIsGivenNoTunnelAnyMore) {
  south_.config.links.clear();
  Publish();
  const auto dialer = JoinByHand({.most_spares = 4});
  const Fd spare = Dial(Opening(Next<link::Offer>(*dialer).tokens[0]));
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Spares() == 1; }));
  ASSERT_TRUE(dialer->Post(link::GoAway{"enough"}).ok());
  EXPECT_EQ(Next<link::GoAway>(*dialer).why, "the peer said goodbye: enough");
  EXPECT_EQ(east_.Spares(), 0u);
  EXPECT_EQ(testing::HowItEnds(loop_, spare.get()), ECONNRESET);
}

TEST_F(LinkLossTest, WhoIsNotInTheDirectoryAnyMoreIsLetGo) {
  Join();
  const Ends running = Tunnel();
  const mesh::Snapshot& without = Directory("north");
  east_.Publish(without);
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  EXPECT_EQ(east_.Spares(), 0u);
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.Refused(LinkRefusal::kDirectory) > 0; }));
  ExpectCarried(running);
}

TEST_F(LinkLossTest, WhoIsRevokedIsLetGo) {
  Join();
  east_.Publish(*snapshot_, {.ids = {"spiffe://td/cluster/south/gateway/gw-1"}});
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  EXPECT_EQ(east_.Spares(), 0u);
  EXPECT_EQ(east_.counters.links_accepted, 1u);
}

TEST_F(LinkLossTest, TheDialerLetsGoWhoIsRevoked) {
  Join();
  south_.Publish(*snapshot_, {.ids = {"spiffe://td/cluster/east/gateway/gw-1"}});
  EXPECT_TRUE(loop_.RunUntil([&] { return !Link().up && Link().attempts > 1; }));
  EXPECT_EQ(Link().spares, 0u);
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  south_.Publish(*snapshot_);
  Join();
}

// As while an SVID is checked against another trust bundle.
TEST_F(LinkLossTest, AnIdentityThatIsMissingForAMomentEndsNoLink) {
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

TEST_F(LinkLossTest, WhoIsRevokedItselfKeepsNoLink) {
  Join();
  east_.Publish(*snapshot_, {.ids = {"spiffe://td/cluster/east/gateway/gw-1"}});
  EXPECT_TRUE(loop_.RunUntil([&] { return east_.context->accepted_links.empty(); }));
  EXPECT_EQ(east_.Spares(), 0u);
}

TEST_F(LinkLossTest, RunningTunnelsOutliveEitherSidesDrain) {
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
    EXPECT_EQ(east_.counters.links_lost, 0u) << "it was told, or has told";
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

}  // namespace
}  // namespace tombolo::agent
