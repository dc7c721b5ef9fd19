// SPDX-License-Identifier: Apache-2.0
// The state machine of one tunnel, against a peer that says what it likes.
#include "tunnel/tunnel.h"

#include <gmock/gmock.h>

#include "unit/tunnel/tunnel_pair.h"

namespace tombolo::tunnel {
namespace {

using ::testing::HasSubstr;

TEST_F(TunnelTest, HelloComesFirst) {
  auto [raw, theirs] = Handshake();
  Tunnel tunnel(std::move(theirs), Role::kAcceptor);
  SendMessage(*raw.stream, MessageType::kHello, 0, HelloPayload());
  EXPECT_FALSE(tunnel.greeted());
  EXPECT_TRUE(loop_.Run(tunnel.ExpectHello(Soon())).ok());
  EXPECT_TRUE(tunnel.greeted());
  SendMessage(*raw.stream, MessageType::kHello, 0, HelloPayload());
  const auto twice = loop_.Run(tunnel.Receive(Soon()));
  EXPECT_TRUE(absl::IsInvalidArgument(twice.status()));
  EXPECT_THAT(std::string(twice.status().message()), HasSubstr("HELLO twice"));
}

TEST_F(TunnelTest, AnythingElseBeforeHelloIsInvalid) {
  for (const auto& [type, number] :
       {std::pair{MessageType::kOpen, 1u}, {MessageType::kEnd, 0u}, {MessageType::kReset, 0u}}) {
    auto [raw, theirs] = Handshake();
    Tunnel tunnel(std::move(theirs), Role::kAcceptor);
    SendMessage(*raw.stream, type, number);
    EXPECT_TRUE(absl::IsInvalidArgument(loop_.Run(tunnel.ExpectHello(Soon())))) << Name(type);
    EXPECT_FALSE(tunnel.greeted());
  }
}

TEST_F(TunnelTest, AnotherVersionIsInvalid) {
  for (const std::uint32_t version : {0u, 2u}) {
    auto [raw, theirs] = Handshake();
    Tunnel tunnel(std::move(theirs), Role::kDialer);
    SendMessage(*raw.stream, MessageType::kHello, 0, HelloPayload(version));
    const absl::Status status = loop_.Run(tunnel.ExpectHello(Soon()));
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr("speaks version"));
  }
}

TEST_F(TunnelTest, HelloHasADeadline) {
  auto [raw, theirs] = Handshake();
  Tunnel tunnel(std::move(theirs), Role::kAcceptor);
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop_.Run(tunnel.ExpectHello(Shortly()))));
}

TEST_F(TunnelTest, OpenCountsFromOneAndOnlyUpwards) {
  for (const std::uint32_t number : {0u, 2u, 0xffffffffu}) {
    auto [raw, theirs] = Handshake();
    Tunnel tunnel(std::move(theirs), Role::kAcceptor);
    SendMessage(*raw.stream, MessageType::kOpen, number);
    EXPECT_TRUE(absl::IsInvalidArgument(loop_.Run(tunnel.Receive(Soon())).status())) << number;
  }
  auto [raw, theirs] = Handshake();
  Tunnel tunnel(std::move(theirs), Role::kAcceptor);
  for (const std::uint32_t number : {1u, 2u, 3u}) {
    SendMessage(*raw.stream, MessageType::kOpen, number);
    ASSERT_TRUE(loop_.Run(tunnel.Receive(Soon())).ok());
    EXPECT_EQ(tunnel.BeginConnection(), number);
  }
  SendMessage(*raw.stream, MessageType::kOpen, 3);
  EXPECT_TRUE(absl::IsInvalidArgument(loop_.Run(tunnel.Receive(Soon())).status()));
}

TEST_F(TunnelTest, ADialerTakesNoOpen) {
  auto [theirs, raw] = Handshake();
  Tunnel tunnel(std::move(theirs), Role::kDialer);
  SendMessage(*raw.stream, MessageType::kOpen, 1);
  EXPECT_TRUE(absl::IsInvalidArgument(loop_.Run(tunnel.Receive(Soon())).status()));
}

TEST_F(TunnelTest, MessagesOfAnotherConnectionAreInvalid) {
  for (const MessageType type :
       {MessageType::kResult, MessageType::kEnd, MessageType::kDone, MessageType::kReset}) {
    for (const std::uint32_t number : {0u, 1u, 3u}) {
      auto [theirs, raw] = Handshake();
      Tunnel tunnel(std::move(theirs), Role::kDialer);
      tunnel.BeginConnection();
      tunnel.BeginConnection();
      SendMessage(*raw.stream, type, number);
      EXPECT_TRUE(absl::IsInvalidArgument(loop_.Run(tunnel.Receive(Soon())).status()));
    }
  }
}

TEST_F(TunnelTest, MalformedRecordsAreInvalid) {
  for (const Bytes& record : {Bytes{1}, Bytes{99, 0, 0, 0, 0, 0, 0, 0}, Bytes(4096, 4)}) {
    auto [raw, theirs] = Handshake();
    Tunnel tunnel(std::move(theirs), Role::kAcceptor);
    SendRaw(*raw.stream, record);
    EXPECT_TRUE(absl::IsInvalidArgument(loop_.Run(tunnel.Receive(Soon())).status()));
  }
}

TEST_F(TunnelTest, ApplicationDataOutsideAConnectionIsInvalid) {
  auto [raw, theirs] = Handshake();
  Tunnel tunnel(std::move(theirs), Role::kAcceptor);
  SendData(*raw.stream, "x");
  EXPECT_TRUE(absl::IsInvalidArgument(loop_.Run(tunnel.Receive(Soon())).status()));
}

TEST_F(TunnelTest, PingIsAnsweredBeforeHelloAndUnknownOptionalMessagesAreSkipped) {
  auto [raw, theirs] = Handshake();
  Tunnel tunnel(std::move(theirs), Role::kAcceptor);
  SendMessage(*raw.stream, MessageType::kPing, 0, "echo");
  SendRaw(*raw.stream, Bytes{200, kOptional, 0, 1, 0, 0, 0, 0, 7});
  SendMessage(*raw.stream, MessageType::kPong, 0, "whatever");
  SendMessage(*raw.stream, MessageType::kHello, 0, HelloPayload());
  EXPECT_TRUE(loop_.Run(tunnel.ExpectHello(Soon())).ok());
  const auto pong = ReceiveRaw(*raw.stream);
  ASSERT_TRUE(pong.ok()) << pong.status();
  EXPECT_EQ(pong->type, MessageType::kPong);
  EXPECT_EQ(pong->connection, 0u);
  EXPECT_EQ(pong->payload, "echo");
}

TEST_F(TunnelTest, GoAwayRetiresAndIsNotAnError) {
  Pair pair = MakeGreetedTunnels();
  EXPECT_TRUE(pair.dialer->reusable());
  ASSERT_TRUE(loop_.Run(pair.acceptor->Send(MessageType::kGoAway, "", Soon())).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop_.Run(pair.dialer->Receive(Shortly())).status()));
  EXPECT_FALSE(pair.dialer->reusable());
}

// The bound is far above what keeps a tunnel alive and far below what costs a thread.
TEST_F(TunnelTest, AFloodOfSideMessagesEndsTheTunnel) {
  for (const auto& [type, other] : {std::pair{MessageType::kPing, MessageType::kPing},
                                    {MessageType::kPong, MessageType::kPong},
                                    {MessageType::kGoAway, MessageType::kGoAway},
                                    {MessageType::kPing, MessageType::kGoAway}}) {
    auto [raw, theirs] = Handshake();
    Tunnel tunnel(std::move(theirs), Role::kAcceptor);
    auto received = loop_.Start(tunnel.Receive(Soon()));
    for (int i = 0; i < 600; ++i) {
      SendMessage(*raw.stream, type);
      SendMessage(*raw.stream, other);
    }
    ASSERT_TRUE(loop_.RunUntil([&] { return received->has_value(); }));
    EXPECT_TRUE(absl::IsInvalidArgument((**received).status()))
        << Name(other) << (**received).status();
  }
}

TEST_F(TunnelTest, ReusableWatchesBothSvidsAndRetire) {
  const auto expired = std::chrono::system_clock::now() - std::chrono::seconds(1);
  Pair pair = MakeTunnels();
  EXPECT_TRUE(pair.dialer->reusable());
  pair.dialer->credentials = TestIdentities::Get().client;
  EXPECT_TRUE(pair.dialer->reusable());
  pair.dialer->Retire();
  EXPECT_FALSE(pair.dialer->reusable());
  auto [a, b] = Handshake();
  a.info.peer_not_after = expired;
  EXPECT_FALSE(Tunnel(std::move(a), Role::kDialer).reusable());
}

TEST_F(TunnelTest, ResetSaysWhyThenCloses) {
  auto [raw, theirs] = Handshake();
  Tunnel tunnel(std::move(theirs), Role::kAcceptor);
  tunnel.BeginConnection();
  loop_.Run(tunnel.Reset(proto::CODE_TIMEOUT, "too slow"));
  const auto message = ReceiveRaw(*raw.stream);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->type, MessageType::kReset);
  EXPECT_EQ(message->connection, 1u);
  const auto reset = ParsePayload<proto::Reset>(*message);
  EXPECT_EQ(reset->code(), proto::CODE_TIMEOUT);
  EXPECT_EQ(reset->message(), "too slow");
  EXPECT_TRUE(absl::IsOutOfRange(ReceiveRaw(*raw.stream).status()));
  EXPECT_FALSE(tunnel.reusable());
  EXPECT_EQ(tunnel.stream().socket().get(), -1);
  loop_.Run(tunnel.Close());  // again: nothing happens
}

TEST_F(TunnelTest, IdsAreUnique) {
  Pair pair = MakeTunnels();
  EXPECT_NE(pair.dialer->id(), pair.acceptor->id());
}

}  // namespace
}  // namespace tombolo::tunnel
