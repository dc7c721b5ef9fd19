// SPDX-License-Identifier: Apache-2.0
// Opening a connection, and what becomes of the bytes that the application has written.
#include "tunnel/open.h"

#include <gmock/gmock.h>

#include "unit/tunnel/open_case.h"

namespace tombolo::tunnel {
namespace {

using Kind = OpenOutcome::Kind;
using ::testing::HasSubstr;

TEST_F(OpenTest, Opens) {
  auto tunnel = Dial();
  auto outcome = Open(*tunnel);
  ExpectMessage(MessageType::kHello, 0);
  ExpectMessage(MessageType::kOpen, 1);
  SayHello();
  SendMessage(*raw_.stream, MessageType::kPing, 0, "p");
  Answer(1, proto::CODE_OK);
  EXPECT_EQ(Finish(outcome).kind, Kind::kOpened);
  ExpectMessage(MessageType::kPong, 0);
  EXPECT_EQ(buffers_.in_use(), 0u);
}

TEST_F(OpenTest, EarlyDataArrivesOnceAndInOrder) {
  auto tunnel = Dial();
  AppWrites("one ");
  auto outcome = Open(*tunnel);
  ExpectMessage(MessageType::kHello, 0);
  ExpectMessage(MessageType::kOpen, 1);
  EXPECT_EQ(ReceiveData(4), "one ");
  AppWrites("two ");
  EXPECT_EQ(ReceiveData(4), "two ");
  AppWrites("three");
  EXPECT_EQ(ReceiveData(5), "three");
  SayHello();
  Answer(1, proto::CODE_OK);
  EXPECT_EQ(Finish(outcome).kind, Kind::kOpened);
  EXPECT_FALSE(MoreArrives());
  AppWrites("later");
  EXPECT_EQ(LeftInPlain(), "later");
}

// The end of the application's stream is nothing that the opening consumes, and
// nothing that it may make the relay miss.
TEST_F(OpenTest, AHalfCloseBehindEarlyDataIsLeftForTheRelay) {
  for (const bool late : {false, true}) {
    auto [app, plain] = TcpPair();
    app_ = std::move(app);
    plain_ = loop_.Adopt(std::move(plain));
    auto tunnel = Dial();
    AppWrites("request");
    if (!late) shutdown(app_.get(), SHUT_WR);
    auto outcome = Open(*tunnel);
    ExpectMessage(MessageType::kHello, 0);
    ExpectMessage(MessageType::kOpen, 1);
    EXPECT_EQ(ReceiveData(7), "request");
    if (late) shutdown(app_.get(), SHUT_WR);
    loop_.Settle(std::chrono::milliseconds(20));
    SayHello();
    Answer(1, proto::CODE_OK);
    ASSERT_EQ(Finish(outcome).kind, Kind::kOpened);
    EXPECT_TRUE(loop_.Run(plain_.WaitReadable(Soon())).ok()) << late;
    char byte;
    EXPECT_EQ(recv(plain_.get(), &byte, 1, MSG_DONTWAIT), 0);
  }
}

TEST_F(OpenTest, AtMost64KiBAreSentEarly) {
  auto tunnel = Dial();
  const std::string text = PatternText(100'000);
  AppWrites(text);
  auto outcome = Open(*tunnel);
  ExpectMessage(MessageType::kHello, 0);
  ExpectMessage(MessageType::kOpen, 1);
  EXPECT_EQ(ReceiveData(65536), text.substr(0, 65536));
  EXPECT_FALSE(MoreArrives());
  SayHello();
  Answer(1, proto::CODE_OK);
  ASSERT_EQ(Finish(outcome).kind, Kind::kOpened);
  EXPECT_FALSE(MoreArrives());
  EXPECT_EQ(LeftInPlain(), text.substr(65536));
}

TEST_F(OpenTest, ARefusalLeavesTheTunnelAndTheBytes) {
  auto tunnel = Dial();
  AppWrites("request");
  auto outcome = Open(*tunnel);
  ExpectMessage(MessageType::kHello, 0);
  ExpectMessage(MessageType::kOpen, 1);
  EXPECT_EQ(ReceiveData(7), "request");
  SayHello();
  Answer(1, proto::CODE_UNAVAILABLE);
  ExpectMessage(MessageType::kEnd, 1);
  SendMessage(*raw_.stream, MessageType::kDone, 1);
  const OpenOutcome refused = Finish(outcome);
  EXPECT_EQ(refused.kind, Kind::kRefused);
  EXPECT_TRUE(refused.retriable());
  EXPECT_THAT(std::string(refused.status.message()), HasSubstr("unavailable"));
  EXPECT_TRUE(tunnel->reusable() && tunnel->stream().quiet());

  // The same tunnel again, then another one: each gets every byte once.
  outcome = Open(*tunnel);
  ExpectMessage(MessageType::kOpen, 2);
  EXPECT_EQ(ReceiveData(7), "request");
  Answer(2, proto::CODE_DRAINING);
  ExpectMessage(MessageType::kEnd, 2);
  SendMessage(*raw_.stream, MessageType::kDone, 2);
  EXPECT_EQ(Finish(outcome).kind, Kind::kRefused);
  auto other = Dial();
  outcome = Open(*other);
  ExpectMessage(MessageType::kHello, 0);
  ExpectMessage(MessageType::kOpen, 1);
  EXPECT_EQ(ReceiveData(7), "request");
  SayHello();
  Answer(1, proto::CODE_OK);
  EXPECT_EQ(Finish(outcome).kind, Kind::kOpened);
  EXPECT_EQ(LeftInPlain(), "");
}

// The first attempt has peeked at the bytes, which used up their edge; the second
// one is answered before it could look at them. The relay must find them.
TEST_F(OpenTest, AnAnswerBeforeTheSecondAttemptPeeksLeavesTheBytesReadable) {
  auto tunnel = Dial();
  AppWrites("request");
  auto outcome = Open(*tunnel);
  EXPECT_TRUE(loop_.RunUntil([&] { return !plain_.readable(); }));
  SayHello();
  Answer(1, proto::CODE_UNAVAILABLE);
  SendMessage(*raw_.stream, MessageType::kDone, 1);
  ASSERT_EQ(Finish(outcome).kind, Kind::kRefused);

  auto other = Dial();
  SayHello();
  Answer(1, proto::CODE_OK);
  loop_.Settle(std::chrono::milliseconds(20));
  ASSERT_EQ(Finish(Open(*other)).kind, Kind::kOpened);
  EXPECT_TRUE(loop_.Run(plain_.WaitReadable(Soon())).ok());
  EXPECT_EQ(LeftInPlain(), "request");
}

TEST_F(OpenTest, WithoutEarlyDataNothingLeavesBeforeResult) {
  auto tunnel = Dial();
  AppWrites("request");
  auto outcome = Open(*tunnel, Soon(), /*send_early=*/false);
  ExpectMessage(MessageType::kHello, 0);
  ExpectMessage(MessageType::kOpen, 1);
  EXPECT_FALSE(MoreArrives());
  SayHello();
  Answer(1, proto::CODE_OK);
  EXPECT_EQ(Finish(outcome).kind, Kind::kOpened);
  EXPECT_FALSE(MoreArrives());
  EXPECT_TRUE(plain_.readable());
  EXPECT_EQ(LeftInPlain(), "request");
}

TEST_F(OpenTest, WithoutEarlyDataAResetMayBeRetried) {
  auto tunnel = Dial();
  AppWrites("request");
  auto outcome = Open(*tunnel, Soon(), /*send_early=*/false);
  loop_.Settle(std::chrono::milliseconds(20));
  net::ResetOnClose(raw_.stream->socket().get());
  raw_.stream->socket().Close();
  const OpenOutcome failed = Finish(outcome);
  EXPECT_EQ(failed.kind, Kind::kNotSent) << failed.status;
  EXPECT_TRUE(failed.retriable());
  EXPECT_EQ(LeftInPlain(), "request");
}

}  // namespace
}  // namespace tombolo::tunnel
