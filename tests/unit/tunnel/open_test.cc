// SPDX-License-Identifier: Apache-2.0
// Opening a connection, and what a dialer may conclude from each way to fail.
#include "tunnel/open.h"

#include <gmock/gmock.h>

#include "unit/tls/stream_pair.h"
#include "unit/tunnel/tunnel_pair.h"

namespace tombolo::tunnel {
namespace {

using Kind = OpenOutcome::Kind;
using ::testing::HasSubstr;
using testing::Pattern;

std::string PatternText(std::size_t size) {
  const auto bytes = Pattern(size);
  return {bytes.begin(), bytes.end()};
}

class OpenTest : public TunnelTest {
 protected:
  OpenTest() {
    auto [app, plain] = TcpPair();
    app_ = std::move(app);
    plain_ = loop_.Adopt(std::move(plain));
  }

  // A dialer's tunnel; the acceptor's side is `raw_`, in the test's hands.
  std::unique_ptr<Tunnel> Dial() {
    auto [a, b] = Handshake();
    raw_ = std::move(b);
    return std::make_unique<Tunnel>(std::move(a), Role::kDialer);
  }
  auto Open(Tunnel& tunnel, MonotonicTime deadline = Soon(), bool send_early = true) {
    return loop_.Start(OpenConnection(tunnel, MakeOpen(), plain_, buffers_, deadline, send_early));
  }
  OpenOutcome Finish(const std::shared_ptr<std::optional<OpenOutcome>>& outcome) {
    EXPECT_TRUE(loop_.RunUntil([&] { return outcome->has_value(); }));
    return **outcome;
  }

  void AppWrites(absl::string_view text) {
    ASSERT_EQ(send(app_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // What is still in the agent's socket of the application.
  std::string LeftInPlain() {
    loop_.Settle(std::chrono::milliseconds(20));
    std::string bytes(1 << 20, '\0');
    const ssize_t n = recv(plain_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    return bytes.substr(0, n < 0 ? 0 : static_cast<std::size_t>(n));
  }
  void ExpectMessage(MessageType type, std::uint32_t connection) {
    const auto message = ReceiveRaw(*raw_.stream);
    ASSERT_TRUE(message.ok()) << Name(type) << ": " << message.status();
    EXPECT_EQ(Name(message->type), Name(type));
    EXPECT_EQ(message->connection, connection);
  }
  std::string ReceiveData(std::size_t size) {
    std::string all;
    while (all.size() < size) {
      const auto record = loop_.Run(raw_.stream->Receive(Soon()));
      if (!record.ok() || record->type != tls::kApplicationData) {
        ADD_FAILURE() << record.status();
        break;
      }
      all.append(record->payload.begin(), record->payload.end());
    }
    return all;
  }
  bool MoreArrives() {
    return !absl::IsDeadlineExceeded(loop_.Run(raw_.stream->Receive(Shortly())).status());
  }
  void SayHello() { SendMessage(*raw_.stream, MessageType::kHello, 0, HelloPayload()); }
  void Answer(std::uint32_t connection, proto::Code code) {
    SendMessage(*raw_.stream, MessageType::kResult, connection, ResultPayload(code));
  }

  Fd app_;
  net::AsyncFd plain_;
  tls::Session raw_;
};

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

TEST_F(OpenTest, AGoodbyeSaysWhy) {
  auto tunnel = Dial();
  auto outcome = Open(*tunnel);
  proto::GoAway goodbye;
  goodbye.set_message("too many of you");
  SendMessage(*raw_.stream, MessageType::kGoAway, 0, goodbye.SerializeAsString());
  loop_.Run(raw_.stream->CloseNotify(Soon()));
  const OpenOutcome refused = Finish(outcome);
  EXPECT_TRUE(refused.retriable()) << refused.status;
  EXPECT_THAT(std::string(refused.status.message()), HasSubstr("too many of you"));
}

TEST_F(OpenTest, ARefusalThatIsNotTidiedUpSpoilsTheTunnel) {
  auto tunnel = Dial();
  auto outcome = Open(*tunnel, After(std::chrono::seconds(1)));
  SayHello();
  Answer(1, proto::CODE_UNAVAILABLE);
  EXPECT_EQ(Finish(outcome).kind, Kind::kRefused);
  EXPECT_FALSE(tunnel->reusable());
}

TEST_F(OpenTest, DeniedIsFinal) {
  auto tunnel = Dial();
  auto outcome = Open(*tunnel);
  SayHello();
  Answer(1, proto::CODE_DENIED);
  SendMessage(*raw_.stream, MessageType::kDone, 1);
  const OpenOutcome denied = Finish(outcome);
  EXPECT_EQ(denied.kind, Kind::kDenied);
  EXPECT_FALSE(denied.retriable());
  EXPECT_TRUE(tunnel->reusable());
}

TEST_F(OpenTest, ARefusedCertificateIsDenied) {
  const TestIdentities& ids = TestIdentities::Get();
  const testing::TestPki stranger;
  tls::Credentials::Pem pem = stranger.Issue("/client");
  pem.bundle += ids.pki.bundle();
  auto [a, b] = TcpPair();
  auto dialed =
      loop_.Start(tls::HandshakeAsClient(loop_.Adopt(std::move(a)), *tls::Credentials::FromPem(pem),
                                         "name", ids.server->id(), buffers_, Soon()));
  auto accepted = loop_.Start(tls::HandshakeAsServer(
      loop_.Adopt(std::move(b)), [&](absl::string_view) { return ids.server; }, buffers_, Soon()));
  ASSERT_TRUE(loop_.RunUntil([&] { return dialed->has_value() && accepted->has_value(); }));
  ASSERT_TRUE((**dialed).ok() && !(**accepted).ok());
  AppWrites("secret");
  Tunnel tunnel(*std::move(**dialed), Role::kDialer);
  const OpenOutcome outcome = Finish(Open(tunnel));
  EXPECT_EQ(outcome.kind, Kind::kDenied) << outcome.status;
  EXPECT_FALSE(tunnel.reusable());
}

TEST_F(OpenTest, CloseNotifyBeforeResultIsRetriableEvenAfterEarlyData) {
  auto tunnel = Dial();
  AppWrites("request");
  auto outcome = Open(*tunnel);
  loop_.Settle(std::chrono::milliseconds(20));
  SayHello();
  SendMessage(*raw_.stream, MessageType::kGoAway);
  loop_.Run(raw_.stream->CloseNotify(Soon()));
  raw_.stream->socket().Close();  // early data unread: a RST follows the goodbye
  const OpenOutcome closed = Finish(outcome);
  EXPECT_EQ(closed.kind, Kind::kNotSent) << closed.status;
  EXPECT_TRUE(closed.retriable());
  EXPECT_FALSE(tunnel->reusable());
  EXPECT_EQ(LeftInPlain(), "request");
}

TEST_F(OpenTest, AResetAfterEarlyDataIsUncertain) {
  for (const bool early : {true, false}) {
    auto tunnel = Dial();
    if (early) AppWrites("request");
    auto outcome = Open(*tunnel);
    if (early) {
      loop_.Settle(std::chrono::milliseconds(20));
    } else {
      LeftInPlain();  // of the first turn
    }
    net::ResetOnClose(raw_.stream->socket().get());
    raw_.stream->socket().Close();
    const OpenOutcome failed = Finish(outcome);
    EXPECT_EQ(failed.kind, early ? Kind::kUncertain : Kind::kNotSent) << failed.status;
    EXPECT_EQ(failed.retriable(), !early);
    EXPECT_FALSE(tunnel->reusable());
    EXPECT_EQ(LeftInPlain(), early ? "request" : "");
  }
}

TEST_F(OpenTest, ASilentAcceptorRunsIntoTheDeadline) {
  auto tunnel = Dial();
  const MonotonicTime begun = std::chrono::steady_clock::now();
  const OpenOutcome silent = Finish(Open(*tunnel, After(std::chrono::milliseconds(100))));
  EXPECT_EQ(silent.kind, Kind::kNotSent);
  EXPECT_TRUE(absl::IsDeadlineExceeded(silent.status));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(15));
  EXPECT_FALSE(tunnel->reusable());
  EXPECT_EQ(buffers_.in_use(), 0u);
}

TEST_F(OpenTest, WrongAnswersAreProtocolErrors) {
  const std::pair<MessageType, std::uint32_t> wrong[] = {{MessageType::kDone, 1},
                                                         {MessageType::kResult, 2},
                                                         {MessageType::kEnd, 1},
                                                         {MessageType::kOpen, 2}};
  for (const auto& [type, number] : wrong) {
    auto tunnel = Dial();
    auto outcome = Open(*tunnel);
    SayHello();
    SendMessage(*raw_.stream, type, number);
    const OpenOutcome failed = Finish(outcome);
    EXPECT_NE(failed.kind, Kind::kOpened);
    EXPECT_TRUE(absl::IsInvalidArgument(failed.status)) << Name(type) << failed.status;
    EXPECT_FALSE(tunnel->reusable());
  }
}

TEST_F(OpenTest, AResetMessageIsNotRetriedAfterEarlyData) {
  auto tunnel = Dial();
  AppWrites("request");
  auto outcome = Open(*tunnel);
  loop_.Settle(std::chrono::milliseconds(20));
  SayHello();
  proto::Reset reset;
  reset.set_code(proto::CODE_TIMEOUT);
  SendMessage(*raw_.stream, MessageType::kReset, 1, reset.SerializeAsString());
  const OpenOutcome failed = Finish(outcome);
  EXPECT_EQ(failed.kind, Kind::kUncertain);
  EXPECT_THAT(std::string(failed.status.message()), HasSubstr("timeout"));
}

// What it had sent is carried all the same; the relay then finds the reset.
TEST_F(OpenTest, AnApplicationThatIsGoneIsLeftForTheRelay) {
  auto tunnel = Dial();
  AppWrites("request");
  auto outcome = Open(*tunnel);
  loop_.Settle(std::chrono::milliseconds(20));
  net::ResetOnClose(app_.get());
  app_.Close();
  loop_.Settle(std::chrono::milliseconds(20));
  SayHello();
  Answer(1, proto::CODE_OK);
  EXPECT_EQ(Finish(outcome).kind, Kind::kOpened);
  EXPECT_TRUE(plain_.hung_up());
  EXPECT_TRUE(plain_.readable());
}

// Reading uses the reset up: another attempt would take it for the end of the stream.
TEST_F(OpenTest, AResetIsNotTakenToAnotherAttempt) {
  auto tunnel = Dial();
  auto outcome = Open(*tunnel);
  loop_.Settle(std::chrono::milliseconds(20));
  net::ResetOnClose(app_.get());
  app_.Close();
  loop_.Settle(std::chrono::milliseconds(20));
  SayHello();
  Answer(1, proto::CODE_UNAVAILABLE);
  const OpenOutcome gone = Finish(outcome);
  EXPECT_EQ(gone.kind, Kind::kPlainFailed) << gone.status;
  EXPECT_FALSE(gone.retriable());
}

TEST_F(OpenTest, AResetIsNotTakenToAnotherAttemptWithoutAnAnswer) {
  auto tunnel = Dial();
  auto outcome = Open(*tunnel);
  loop_.Settle(std::chrono::milliseconds(20));
  net::ResetOnClose(app_.get());
  app_.Close();
  loop_.Settle(std::chrono::milliseconds(20));
  raw_.stream->socket().Close();
  const OpenOutcome gone = Finish(outcome);
  EXPECT_EQ(gone.kind, Kind::kPlainFailed) << gone.status;
  EXPECT_FALSE(gone.retriable());
}

}  // namespace
}  // namespace tombolo::tunnel
