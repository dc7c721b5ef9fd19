// SPDX-License-Identifier: Apache-2.0
#include "link/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/test_pki.h"
#include "unit/tls/loop.h"

namespace tombolo::link {
namespace {

using ::testing::HasSubstr;
using testing::Loop;

constexpr Duration kLong = std::chrono::minutes(1);
constexpr Duration kShort = std::chrono::milliseconds(50);

struct Identities {
  testing::TestPki pki;
  tls::CredentialsPtr east = pki.Credentials("/cluster/east/gateway/gw-1");
  tls::CredentialsPtr south = pki.Credentials("/cluster/south/gateway/gw-1");

  static const Identities& Get() {
    static const auto* identities = new Identities;
    return *identities;
  }
};

class ChannelTest : public ::testing::Test {
 protected:
  ChannelTest() { std::signal(SIGPIPE, SIG_IGN); }

  struct Pair {
    std::unique_ptr<Channel> dialer, acceptor;
  };
  std::pair<absl::StatusOr<tls::Session>, absl::StatusOr<tls::Session>> Handshake(
      tls::Protocol dialers, tls::Protocol acceptors) {
    const Identities& ids = Identities::Get();
    auto [a, b] = testing::TcpPair();
    auto dialed = loop_.Start(tls::HandshakeAsClient(loop_.Adopt(std::move(a)), ids.south,
                                                     "link.east.tombolo.internal", ids.east->id(),
                                                     records_, After(kLong), dialers));
    auto accepted = loop_.Start(tls::HandshakeAsServer(
        loop_.Adopt(std::move(b)), [&ids](absl::string_view) { return ids.east; }, records_,
        After(kLong), acceptors));
    EXPECT_TRUE(loop_.RunUntil([&] { return dialed->has_value() && accepted->has_value(); }));
    return {std::move(**dialed), std::move(**accepted)};
  }
  Pair Make(Duration ask = kLong, Duration answer = kLong) {
    auto [dialed, accepted] = Handshake(tls::Protocol::kLink, tls::Protocol::kLink);
    EXPECT_TRUE(dialed.ok()) << dialed.status();
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    return {std::make_unique<Channel>(*std::move(dialed), ask, answer),
            std::make_unique<Channel>(*std::move(accepted), kLong, kLong)};
  }
  absl::StatusOr<Message> Receive(Channel& channel, MonotonicTime until = After(kLong)) {
    return loop_.Run(channel.Receive(until));
  }

  Loop loop_;
  net::BufferPool buffers_;
  tls::RecordSettings records_{buffers_};
};

TEST_F(ChannelTest, EachSaysHelloFirst) {
  const Pair pair = Make();
  EXPECT_EQ(pair.acceptor->info().peer.path(), "/cluster/south/gateway/gw-1");
  ASSERT_TRUE(pair.dialer->Post(Hello{.most_spares = 7}).ok());
  ASSERT_TRUE(pair.acceptor->Post(Hello{.most_spares = 9}).ok());
  EXPECT_EQ(loop_.Run(pair.acceptor->ReceiveHello(After(kLong)))->most_spares, 7);
  EXPECT_EQ(loop_.Run(pair.dialer->ReceiveHello(After(kLong)))->most_spares, 9);
  ASSERT_TRUE(pair.acceptor->Post(Offer{{Token{}}}).ok());
  const auto offer = Receive(*pair.dialer);
  ASSERT_TRUE(offer.ok()) << offer.status();
  EXPECT_EQ(std::get<Offer>(*offer).tokens.size(), 1u);
  ASSERT_TRUE(pair.dialer->Post(Hello()).ok());
  EXPECT_THAT(Receive(*pair.acceptor).status().ToString(), HasSubstr("HELLO twice"));
}

TEST_F(ChannelTest, WhatIsNoHelloIsRefused) {
  Pair pair = Make();
  ASSERT_TRUE(pair.dialer->Post(Ping()).ok());
  const auto early = loop_.Run(pair.acceptor->ReceiveHello(After(kLong)));
  EXPECT_TRUE(absl::IsInvalidArgument(early.status())) << early.status();
  ASSERT_TRUE(pair.dialer->Post(Hello{.version = 2}).ok());
  const auto later = loop_.Run(pair.acceptor->ReceiveHello(After(kLong)));
  EXPECT_THAT(later.status().ToString(), HasSubstr("version 2"));
  ASSERT_TRUE(pair.dialer->Post(GoAway{"not you"}).ok());
  const auto refused = loop_.Run(pair.acceptor->ReceiveHello(After(kLong)));
  EXPECT_TRUE(absl::IsPermissionDenied(refused.status())) << refused.status();
  EXPECT_THAT(refused.status().ToString(), HasSubstr("not you"));
  const auto late = loop_.Run(pair.acceptor->ReceiveHello(After(kShort)));
  EXPECT_TRUE(absl::IsUnavailable(late.status())) << late.status();
}

TEST_F(ChannelTest, ALinkIsNoTunnel) {
  for (const auto& [dialers, acceptors] :
       {std::pair(tls::Protocol::kLink, tls::Protocol::kTunnel),
        std::pair(tls::Protocol::kTunnel, tls::Protocol::kLink)}) {
    const auto [dialed, accepted] = Handshake(dialers, acceptors);
    EXPECT_FALSE(dialed.ok());
    EXPECT_FALSE(accepted.ok());
  }
}

TEST_F(ChannelTest, SilenceIsAskedAboutAndWhoeverIsAskedAnswers) {
  auto [dialed, accepted] = Handshake(tls::Protocol::kLink, tls::Protocol::kLink);
  Channel channel(*std::move(accepted), kShort, kLong);
  auto quiet = loop_.Start(channel.Receive(After(kLong)));
  for (int i = 0; i < 3; ++i) {
    const auto asked = loop_.Run(dialed->stream->Receive(After(kLong)));
    ASSERT_TRUE(asked.ok()) << asked.status();
    EXPECT_EQ(*Decode(asked->payload), Message(Ping()));
    ASSERT_TRUE(dialed->stream->PostControl(Encode(Pong())).ok());
  }
  ASSERT_TRUE(dialed->stream->PostControl(Encode(Ping())).ok());
  absl::StatusOr<Message> answer = Ping();
  while (answer.ok() && *answer == Message(Ping())) {
    const auto record = loop_.Run(dialed->stream->Receive(After(kLong)));
    ASSERT_TRUE(record.ok()) << record.status();
    answer = Decode(record->payload);
  }
  EXPECT_EQ(*answer, Message(Pong()));
  EXPECT_FALSE(quiet->has_value());
  ASSERT_TRUE(dialed->stream->PostControl(Encode(GoAway{"enough"})).ok());
  EXPECT_TRUE(loop_.RunUntil([&] { return quiet->has_value(); }));
  EXPECT_EQ(std::get<GoAway>(***quiet).why, "enough");
}

TEST_F(ChannelTest, WhoDoesNotAnswerIsLost) {
  const Pair pair = Make(kShort, kShort);
  const MonotonicTime begun = std::chrono::steady_clock::now();
  const auto lost = Receive(*pair.dialer);
  EXPECT_TRUE(absl::IsUnavailable(lost.status())) << lost.status();
  EXPECT_THAT(lost.status().ToString(), HasSubstr("no answer to PING"));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 2 * kShort);
}

TEST_F(ChannelTest, WaitsNoLongerThanItIsTold) {
  const Pair pair = Make();
  EXPECT_TRUE(absl::IsDeadlineExceeded(Receive(*pair.dialer, After(kShort)).status()));
  ASSERT_TRUE(pair.acceptor->Post(Offer{{Token{}}}).ok());
  EXPECT_TRUE(Receive(*pair.dialer).ok()) << "nothing is lost by that";
}

TEST_F(ChannelTest, IsInterruptedWhileItWaitsOrBefore) {
  const Pair pair = Make();
  auto waiting = loop_.Start(pair.dialer->Receive(After(kLong)));
  loop_.Settle();
  pair.dialer->Interrupt();
  EXPECT_TRUE(loop_.RunUntil([&] { return waiting->has_value(); }));
  EXPECT_TRUE(absl::IsCancelled((*waiting)->status()));
  pair.dialer->Interrupt();
  EXPECT_TRUE(absl::IsCancelled(Receive(*pair.dialer).status()));
  ASSERT_TRUE(pair.acceptor->Post(Offer{{Token{}}}).ok());
  EXPECT_TRUE(Receive(*pair.dialer).ok());
}

TEST_F(ChannelTest, TheEndOfTcpIsALoss) {
  Pair pair = Make();
  pair.acceptor.reset();
  EXPECT_TRUE(absl::IsUnavailable(Receive(*pair.dialer).status()));
}

TEST_F(ChannelTest, AGoodbyeArrives) {
  const Pair pair = Make();
  auto closed = loop_.Start([](Channel& channel) -> Awaitable<bool> {
    co_await channel.Close("draining");
    co_return true;
  }(*pair.acceptor));
  const auto goodbye = Receive(*pair.dialer);
  ASSERT_TRUE(goodbye.ok()) << goodbye.status();
  EXPECT_EQ(std::get<GoAway>(*goodbye).why, "draining");
  EXPECT_TRUE(absl::IsUnavailable(Receive(*pair.dialer).status()));
  EXPECT_TRUE(loop_.RunUntil([&] { return closed->has_value(); }));
}

TEST_F(ChannelTest, AFloodEndsIt) {
  const Pair pair = Make();
  auto ended = loop_.Start(pair.acceptor->Receive(After(kLong)));
  EXPECT_TRUE(loop_.RunUntil([&] {
    for (int i = 0; i < 200 && !ended->has_value(); ++i) (void)pair.dialer->Post(Pong());
    return ended->has_value();
  }));
  EXPECT_THAT((*ended)->status().ToString(), HasSubstr("too many messages"));
}

// What is left unread then makes its end a reset.
TEST_F(ChannelTest, AFloodDoesNotKeepWhatCloses) {
  auto [dialed, accepted] = Handshake(tls::Protocol::kLink, tls::Protocol::kLink);
  Channel channel(*std::move(accepted), kLong, kLong);
  // As much as the sockets have room for.
  while (dialed->stream->PostControl(Encode(Pong())).ok()) {
  }
  auto closed = loop_.Start([](Channel& closing) -> Awaitable<bool> {
    co_await closing.Close("enough");
    co_return true;
  }(channel));
  EXPECT_TRUE(loop_.RunUntil([&] { return closed->has_value(); }));
  pollfd state{.fd = dialed->stream->socket().get(), .events = 0, .revents = 0};
  EXPECT_EQ(poll(&state, 1, 0), 1);
  EXPECT_NE(state.revents & POLLHUP, 0);
}

TEST_F(ChannelTest, WhatIsNoMessageEndsIt) {
  const Pair pair = Make();
  auto sent = pair.dialer->Post(Ping());
  ASSERT_TRUE(sent.ok());
  auto [dialed, accepted] = Handshake(tls::Protocol::kLink, tls::Protocol::kLink);
  Channel channel(*std::move(accepted), kLong, kLong);
  const std::uint8_t data[] = {1, 2, 3};
  ASSERT_TRUE(loop_.Run(dialed->stream->Send(data, After(kLong))).ok());
  EXPECT_THAT(Receive(channel).status().ToString(), HasSubstr("application data"));
  ASSERT_TRUE(dialed->stream->PostControl(data).ok());
  EXPECT_THAT(Receive(channel).status().ToString(), HasSubstr("too short"));
}

}  // namespace
}  // namespace tombolo::link
