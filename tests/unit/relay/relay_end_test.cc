// SPDX-License-Identifier: Apache-2.0
// How connections fail: a reset or a truncation is never an orderly end, and what
// failed closes the tunnel.
#include <gmock/gmock.h>

#include "unit/relay/relay_pair.h"

namespace tombolo::relay {
namespace {

using ::testing::HasSubstr;
using tunnel::MessageType;
namespace proto = tunnel::proto;

TEST_F(RelayTest, AResetCrossesTheTunnelEitherWay) {
  for (const bool by_app : {true, false}) {
    Connect();
    MoveText(app_.get(), server_.get(), "hello");
    Reset(by_app ? app_ : server_);
    EXPECT_EQ(HowItEnds(by_app ? server_.get() : app_.get()), ECONNRESET);
    ASSERT_TRUE(BothEnd());
    EXPECT_EQ((by_app ? acceptor_ : dialer_).heard, proto::CODE_APPLICATION_RESET);
    EXPECT_EQ((by_app ? dialer_ : acceptor_).heard, proto::CODE_UNSPECIFIED);
    ExpectFailedEnd();
  }
}

TEST_F(RelayTest, AResetAfterAHalfCloseIsSeenWhileTheOtherDirectionRuns) {
  for (const bool by_app : {true, false}) {
    Connect();
    Fd& resets = by_app ? app_ : server_;
    Fd& other = by_app ? server_ : app_;
    Transfer request{.from = resets.get(), .to = other.get(), .data = "request"};
    Move(request);
    MoveText(other.get(), resets.get(), "answer");
    Reset(resets);  // nothing is on its way: only the hang-up tells
    ASSERT_TRUE(BothEnd());
    // Its own stream had ended, so the kernel reports the reset as EPIPE.
    int error = 0;
    EXPECT_TRUE(loop_.RunUntil([&] {
      error = send(other.get(), "x", 1, MSG_NOSIGNAL) < 0 ? errno : 0;
      return error != 0 && error != EAGAIN;
    }));
    EXPECT_THAT(error, ::testing::AnyOf(EPIPE, ECONNRESET));
    ExpectFailedEnd();
  }
}

TEST_F(RelayTest, AResetWhileDataFlowsToIt) {
  Connect();
  ASSERT_EQ(shutdown(app_.get(), SHUT_WR), 0);
  EXPECT_EQ(HowItEnds(server_.get()), 0);
  Transfer down{.from = server_.get(), .to = -1, .data = std::string(64 << 20, 'x')};
  PumpUntilStuck(down);
  Reset(app_);
  int error = 0;
  EXPECT_TRUE(loop_.RunUntil([&] {
    error = send(server_.get(), "x", 1, MSG_NOSIGNAL) < 0 ? errno : 0;
    return error != 0 && error != EAGAIN;
  }));
  ExpectFailedEnd();
}

// TCP between the agents ends without close_notify: a truncation, whoever is cut off.
TEST_F(RelayTest, ACutTunnelIsAReset) {
  for (const bool cut_dialer : {true, false}) {
    auto [a, b] = Handshake();
    tls::Session& raw = cut_dialer ? a : b;
    Side& side = cut_dialer ? acceptor_ : dialer_;
    side.tunnel = std::make_unique<tunnel::Tunnel>(
        std::move(cut_dialer ? b : a),
        cut_dialer ? tunnel::Role::kAcceptor : tunnel::Role::kDialer);
    Fd end = StartSide(side);
    SendData(*raw.stream, "part");
    loop_.Settle(std::chrono::milliseconds(20));
    raw.stream->socket().Close();
    EXPECT_EQ(HowItEnds(end.get()), ECONNRESET);
    ASSERT_TRUE(loop_.RunUntil([&] { return side.ended->has_value(); }));
    EXPECT_TRUE(absl::IsDataLoss(**side.ended)) << **side.ended;
    EXPECT_FALSE(side.tunnel->reusable());
  }
}

TEST_F(RelayTest, CloseNotifyWithoutEndIsAReset) {
  for (const bool after_end : {false, true}) {
    auto [raw, theirs] = Handshake();
    dialer_.tunnel = std::make_unique<tunnel::Tunnel>(std::move(theirs), tunnel::Role::kDialer);
    app_ = StartSide(dialer_);
    if (after_end) {
      // The application's own direction has not ended, nor has DONE come.
      SendMessage(*raw.stream, MessageType::kEnd, 1);
      EXPECT_EQ(HowItEnds(app_.get()), 0);
    }
    loop_.Run(raw.stream->CloseNotify(tunnel::Soon()));
    ASSERT_TRUE(loop_.RunUntil([&] { return dialer_.ended->has_value(); }));
    EXPECT_TRUE(absl::IsDataLoss(**dialer_.ended)) << **dialer_.ended;
    if (!after_end) {
      EXPECT_EQ(HowItEnds(app_.get()), ECONNRESET);
    }
  }
}

TEST_F(RelayTest, WhatThePeerMayNotSayEndsTheConnection) {
  struct Case {
    MessageType type;
    int times;
    const char* says;
  };
  for (const Case& c : {Case{MessageType::kResult, 1, "RESULT within a connection"},
                        {MessageType::kDone, 1, "DONE before END"},
                        {MessageType::kEnd, 2, "END twice"}}) {
    auto [raw, theirs] = Handshake();
    acceptor_.tunnel = std::make_unique<tunnel::Tunnel>(std::move(theirs), tunnel::Role::kAcceptor);
    server_ = StartSide(acceptor_);
    for (int i = 0; i < c.times; ++i) SendMessage(*raw.stream, c.type, 1);
    ASSERT_TRUE(loop_.RunUntil([&] { return acceptor_.ended->has_value(); }));
    EXPECT_TRUE(absl::IsInvalidArgument(**acceptor_.ended)) << **acceptor_.ended;
    EXPECT_THAT(std::string((**acceptor_.ended).message()), HasSubstr(c.says));
    const auto message = ReceiveRaw(*raw.stream);
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_EQ(tunnel::ParsePayload<proto::Reset>(*message)->code(), proto::CODE_PROTOCOL_ERROR);
    // The reset reaches the endpoint too, even after it has seen an END.
    loop_.RunUntil([&] { return send(server_.get(), "x", 1, MSG_NOSIGNAL) < 0; });
  }
}

TEST_F(RelayTest, DataAfterEndIsAProtocolError) {
  auto [raw, theirs] = Handshake();
  acceptor_.tunnel = std::make_unique<tunnel::Tunnel>(std::move(theirs), tunnel::Role::kAcceptor);
  server_ = StartSide(acceptor_);
  SendMessage(*raw.stream, MessageType::kEnd, 1);
  SendData(*raw.stream, "late");
  ASSERT_TRUE(loop_.RunUntil([&] { return acceptor_.ended->has_value(); }));
  EXPECT_TRUE(absl::IsInvalidArgument(**acceptor_.ended)) << **acceptor_.ended;
  EXPECT_EQ(HowItEnds(server_.get()), 0);  // it had ended already
}

TEST_F(RelayTest, StopResetsBothEndsAndSaysWhy) {
  Connect();
  MoveText(app_.get(), server_.get(), "hello");
  dialer_.relay->Stop(absl::PermissionDeniedError("policy changed"), proto::CODE_DENIED);
  dialer_.relay->Stop(absl::InternalError("second"), proto::CODE_TIMEOUT);
  EXPECT_EQ(HowItEnds(app_.get()), ECONNRESET);
  EXPECT_EQ(HowItEnds(server_.get()), ECONNRESET);
  ASSERT_TRUE(BothEnd());
  EXPECT_TRUE(absl::IsPermissionDenied(**dialer_.ended));
  EXPECT_EQ((**dialer_.ended).message(), "policy changed");
  EXPECT_THAT(std::string((**acceptor_.ended).message()), HasSubstr("denied policy changed"));
  ExpectFailedEnd();
}

// RESULT may wait for the endpoint's first answer. Who is revoked meanwhile gets none of it.
TEST_F(RelayTest, StopWhileResultIsWithheldLetsNothingThrough) {
  auto [raw, theirs] = Handshake();
  acceptor_.tunnel = std::make_unique<tunnel::Tunnel>(std::move(theirs), tunnel::Role::kAcceptor);
  tunnel::Tunnel& tunnel = *acceptor_.tunnel;
  tunnel.BeginConnection();
  SendData(*raw.stream, "request");
  char byte;
  const int socket = tunnel.stream().socket().get();
  ASSERT_TRUE(loop_.RunUntil([&] { return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1; }));
  // From here to Stop() the loop does not run, so no time passes for the relay.
  ASSERT_TRUE(
      tunnel.Post(MessageType::kResult, tunnel::ResultPayload(proto::CODE_OK), /*more=*/true).ok());
  auto [endpoint, plain] = testing::TcpPair();
  acceptor_.relay = std::make_unique<Relay>(loop_.Adopt(std::move(plain)), tunnel);
  acceptor_.ended = Begin(*acceptor_.relay, tunnel);
  EXPECT_EQ(acceptor_.relay->counters().from_tunnel, 7u) << "nothing to answer";
  EXPECT_EQ(recv(raw.stream->socket().get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1)
      << "RESULT was not withheld";
  ASSERT_EQ(send(endpoint.get(), "secret", 6, MSG_NOSIGNAL), 6);
  acceptor_.relay->Stop(absl::UnauthenticatedError("revoked"), proto::CODE_DENIED);
  EXPECT_EQ(HowItEnds(endpoint.get()), ECONNRESET);
  const auto result = ReceiveRaw(*raw.stream);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->type, MessageType::kResult);
  const auto reset = ReceiveRaw(*raw.stream);  // not application data
  ASSERT_TRUE(reset.ok()) << reset.status();
  EXPECT_EQ(reset->type, MessageType::kReset);
  EXPECT_TRUE(absl::IsOutOfRange(ReceiveRaw(*raw.stream).status()));
  EXPECT_EQ(acceptor_.relay->counters().to_tunnel, 0u);
}

TEST_F(RelayTest, StopBeforeStart) {
  Pair pair = MakeGreetedTunnels();
  auto [end, plain] = testing::TcpPair();
  pair.dialer->BeginConnection();
  Relay relay(loop_.Adopt(std::move(plain)), *pair.dialer);
  relay.Stop(absl::UnavailableError("draining"), proto::CODE_DRAINING);
  const auto ended = Begin(relay, *pair.dialer);
  ASSERT_TRUE(loop_.RunUntil([&] { return ended->has_value(); }));
  EXPECT_TRUE(absl::IsUnavailable(**ended)) << **ended;
  EXPECT_EQ(HowItEnds(end.get()), ECONNRESET);
}

// Whoever is told of the end owns the relay, as a rule.
TEST_F(RelayTest, ItMayBeDestroyedByItsEnd) {
  Pair pair = MakeGreetedTunnels();
  auto [end, plain] = testing::TcpPair();
  pair.dialer->BeginConnection();
  auto relay = std::make_unique<Relay>(loop_.Adopt(std::move(plain)), *pair.dialer);
  int ends = 0;
  relay->Start([&](Relay::End) {
    relay.reset();
    ++ends;
  });
  relay->Stop(absl::UnavailableError("draining"), proto::CODE_DRAINING);
  EXPECT_EQ(ends, 0);  // never from within a call
  ASSERT_TRUE(loop_.RunUntil([&] { return ends != 0; }));
  loop_.Settle();
  EXPECT_EQ(ends, 1);
  EXPECT_EQ(HowItEnds(end.get()), ECONNRESET);
}

// A peer that reads nothing does not keep a stopped connection for long.
TEST_F(RelayTest, StopWhileTheTunnelIsStuck) {
  auto [raw, theirs] = Handshake();
  dialer_.tunnel = std::make_unique<tunnel::Tunnel>(std::move(theirs), tunnel::Role::kDialer);
  app_ = StartSide(dialer_);
  Transfer up{.from = app_.get(), .to = -1, .data = std::string(64 << 20, 'x')};
  PumpUntilStuck(up);
  const auto begun = std::chrono::steady_clock::now();
  dialer_.relay->Stop(absl::UnavailableError("draining"), proto::CODE_DRAINING);
  ASSERT_TRUE(loop_.RunUntil([&] { return dialer_.ended->has_value(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(15));
  EXPECT_TRUE(absl::IsUnavailable(**dialer_.ended));
  dialer_.tunnel.reset();
  EXPECT_EQ(buffers_.in_use(), 0u);
}

TEST_F(RelayTest, StopWhileAnEndpointIsBeingDrained) {
  Connect();
  ASSERT_EQ(shutdown(server_.get(), SHUT_WR), 0);
  EXPECT_EQ(HowItEnds(app_.get()), 0);
  Transfer up{.from = app_.get(), .to = -1, .data = std::string(1 << 20, 'x')};
  loop_.RunUntil([&, until = After(std::chrono::milliseconds(300))] {
    up.Pump();
    return std::chrono::steady_clock::now() > until;
  });
  EXPECT_FALSE(acceptor_.ended->has_value());
  acceptor_.relay->Stop(absl::UnavailableError("draining"), proto::CODE_DRAINING);
  ExpectFailedEnd();
}

TEST_F(RelayTest, ATunnelThatEndsWhileAnEndpointIsBeingDrained) {
  Connect();
  ASSERT_EQ(shutdown(server_.get(), SHUT_WR), 0);
  EXPECT_EQ(HowItEnds(app_.get()), 0);
  Transfer up{.from = app_.get(), .to = -1, .data = std::string(1 << 20, 'x')};
  loop_.RunUntil([&, until = After(std::chrono::milliseconds(300))] {
    up.Pump();
    return std::chrono::steady_clock::now() > until;
  });
  EXPECT_FALSE(acceptor_.ended->has_value());
  dialer_.relay->Stop(absl::UnavailableError("draining"), proto::CODE_DRAINING);
  ExpectFailedEnd();
}

// As a server does that refuses a request before it has read all of it. Both are there
// before the relay looks.
TEST_F(RelayTest, WhatWasSentBeforeAResetArrives) {
  for (const bool by_server : {true, false}) {
    Connect();
    Fd& from = by_server ? server_ : app_;
    const Fd& to = by_server ? app_ : server_;
    ASSERT_EQ(send(to.get(), "request", 7, MSG_NOSIGNAL), 7);
    loop_.Settle(std::chrono::milliseconds(20));
    ASSERT_EQ(send(from.get(), "answer", 6, MSG_NOSIGNAL), 6);
    from.Close();  // with the request unread: a reset
    std::string got;
    int error = -1;
    ASSERT_TRUE(loop_.RunUntil([&] {
      char part[100];
      const ssize_t n = recv(to.get(), part, sizeof(part), 0);
      if (n > 0) got.append(part, n);
      if (n == 0 || (n < 0 && errno != EAGAIN)) error = n == 0 ? 0 : errno;
      return error >= 0;
    }));
    EXPECT_EQ(got, "answer");
    EXPECT_EQ(error, ECONNRESET);
    ExpectFailedEnd();
  }
}

TEST_F(RelayTest, FailuresKeepNoDescriptor) {
  tunnel::TestIdentities::Get();
  const std::size_t before = tunnel::OpenDescriptors();
  for (int i = 0; i < 10; ++i) {
    Connect();
    MoveText(app_.get(), server_.get(), "hello");
    Reset(i % 2 == 0 ? app_ : server_);
    ExpectFailedEnd();
    app_.Close();
    server_.Close();
  }
  EXPECT_EQ(tunnel::OpenDescriptors(), before);
}

}  // namespace
}  // namespace tombolo::relay
