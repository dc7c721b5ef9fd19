// SPDX-License-Identifier: Apache-2.0
// What a dialer may conclude from each way in which opening a connection fails.
#include <gmock/gmock.h>

#include "unit/tunnel/open_case.h"

namespace tombolo::tunnel {
namespace {

using Kind = OpenOutcome::Kind;
using ::testing::HasSubstr;

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
