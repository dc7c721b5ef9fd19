// SPDX-License-Identifier: Apache-2.0
// Serve() against a dialer that says what it likes.
#include "tunnel/acceptor.h"

#include <deque>

#include <gmock/gmock.h>

#include "unit/tunnel/tunnel_pair.h"

namespace tombolo::tunnel {
namespace {

using ::testing::HasSubstr;

// Answers with the next code.
class FakeHandler : public ConnectionHandler {
 public:
  Awaitable<Answer> Open(Tunnel&, proto::Open open) override {
    opened.push_back(std::move(open));
    Answer answer;
    if (codes.empty()) co_return answer;
    answer.code = codes.front();
    answer.message = "because";
    codes.pop_front();
    co_return answer;
  }

  std::deque<proto::Code> codes;
  std::vector<proto::Open> opened;
};

class AcceptorTest : public TunnelTest {
 protected:
  AcceptorTest() {
    auto [a, b] = Handshake();
    raw_ = std::move(a);
    tunnel_ = std::make_unique<Tunnel>(std::move(b), Role::kAcceptor);
  }
  void Start(AcceptorOptions options = {}) { ended_ = loop_.Start(ServeAll(options)); }
  // Carries by saying DONE.
  Awaitable<absl::Status> ServeAll(AcceptorOptions options) {
    for (;;) {
      const auto endpoint = co_await Serve(*tunnel_, handler_, options);
      if (!endpoint.ok()) co_return endpoint.status();
      if (!endpoint->has_value()) co_return absl::OkStatus();
      ++carried_;
      (void)co_await tunnel_->Send(MessageType::kDone, "", Soon());
    }
  }
  void Greet() {
    SendMessage(*raw_.stream, MessageType::kHello, 0, HelloPayload());
    ExpectMessage(MessageType::kHello, 0);
  }
  void Open(std::uint32_t number) {
    SendMessage(*raw_.stream, MessageType::kOpen, number, MakeOpen().SerializeAsString());
  }
  Message ExpectMessage(MessageType type, std::uint32_t connection) {
    const auto message = ReceiveRaw(*raw_.stream);
    if (!message.ok()) {
      ADD_FAILURE() << Name(type) << ": " << message.status();
      return {};
    }
    EXPECT_EQ(Name(message->type), Name(type));
    EXPECT_EQ(message->connection, connection);
    return *message;
  }
  void ExpectResult(std::uint32_t connection, proto::Code code) {
    const Message message = ExpectMessage(MessageType::kResult, connection);
    EXPECT_EQ(ParsePayload<proto::Result>(message)->code(), code);
  }
  absl::Status End() {
    EXPECT_TRUE(loop_.RunUntil([&] { return ended_->has_value(); }));
    EXPECT_EQ(tunnel_->stream().socket().get(), -1);
    return **ended_;
  }
  // The tunnel ends, its status says `what`, and so does a RESET to the dialer.
  void ExpectProtocolError(absl::string_view what, std::uint32_t connection) {
    const absl::Status status = End();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(what)));
    const Message message = ExpectMessage(MessageType::kReset, connection);
    const auto reset = ParsePayload<proto::Reset>(message);
    EXPECT_EQ(reset->code(), proto::CODE_PROTOCOL_ERROR);
    EXPECT_THAT(reset->message(), HasSubstr(std::string(what)));
    EXPECT_TRUE(absl::IsOutOfRange(ReceiveRaw(*raw_.stream).status()));
  }

  tls::Session raw_;
  std::unique_ptr<Tunnel> tunnel_;
  FakeHandler handler_;
  int carried_ = 0;
  std::shared_ptr<std::optional<absl::Status>> ended_;
};

TEST_F(AcceptorTest, ServesOneConnectionAfterTheOther) {
  handler_.codes = {proto::CODE_OK, proto::CODE_OK};
  Start();
  Greet();
  for (const std::uint32_t number : {1u, 2u}) {
    SendMessage(*raw_.stream, MessageType::kPing, 0, "before OPEN");
    EXPECT_EQ(ExpectMessage(MessageType::kPong, 0).payload, "before OPEN");
    Open(number);
    ExpectResult(number, proto::CODE_OK);
    ExpectMessage(MessageType::kDone, number);
  }
  EXPECT_EQ(carried_, 2);
  EXPECT_EQ(handler_.opened[0].service(), "shop/web");
  loop_.Run(raw_.stream->CloseNotify(Soon()));
  EXPECT_TRUE(End().ok());
}

TEST_F(AcceptorTest, RefusesAndGoesOn) {
  handler_.codes = {proto::CODE_DENIED, proto::CODE_OK};
  Start();
  Greet();
  Open(1);
  SendData(*raw_.stream, std::string(65536, 'e'));
  SendMessage(*raw_.stream, MessageType::kPing);
  SendMessage(*raw_.stream, MessageType::kEnd, 1);
  ExpectResult(1, proto::CODE_DENIED);
  ExpectMessage(MessageType::kPong, 0);
  ExpectMessage(MessageType::kDone, 1);
  EXPECT_EQ(carried_, 0);
  Open(2);
  ExpectResult(2, proto::CODE_OK);
  ExpectMessage(MessageType::kDone, 2);
  loop_.Run(raw_.stream->CloseNotify(Soon()));
  EXPECT_TRUE(End().ok());
}

TEST_F(AcceptorTest, EarlyDataIsBounded) {
  Start();
  Greet();
  Open(1);
  SendData(*raw_.stream, std::string(65537, 'e'));
  ExpectResult(1, proto::CODE_UNAVAILABLE);
  ExpectProtocolError("more than 64 KiB", 1);
}

TEST_F(AcceptorTest, WrongMessagesAfterARefusal) {
  Start();
  Greet();
  Open(1);
  ExpectResult(1, proto::CODE_UNAVAILABLE);
  Open(2);
  ExpectProtocolError("OPEN after a refused OPEN", 1);
}

TEST_F(AcceptorTest, MalformedControlRecordsEndTheTunnel) {
  Start();
  Greet();
  SendRaw(*raw_.stream, Bytes{2, 0, 0, 9, 0, 0, 0, 1});
  ExpectProtocolError("claims 9 payload bytes", 0);
}

TEST_F(AcceptorTest, AnOversizedPingEndsTheTunnel) {
  Start();
  Greet();
  SendMessage(*raw_.stream, MessageType::kPing, 0, std::string(65, 'p'));
  ExpectProtocolError("PING has a payload of 65 bytes", 0);
}

TEST_F(AcceptorTest, MessagesOutOfOrderEndTheTunnel) {
  Start();
  Greet();
  SendMessage(*raw_.stream, MessageType::kEnd, 0);
  ExpectProtocolError("END instead of OPEN", 0);
}

TEST_F(AcceptorTest, OpenBeforeHelloEndsTheTunnel) {
  Start();
  Open(1);
  ExpectMessage(MessageType::kHello, 0);
  ExpectProtocolError("OPEN before HELLO", 0);
  EXPECT_TRUE(handler_.opened.empty());
}

TEST_F(AcceptorTest, AnOpenThatIsNotValidNeverReachesTheHandler) {
  Start();
  Greet();
  proto::Open open = MakeOpen();
  open.set_port(70000);
  SendMessage(*raw_.stream, MessageType::kOpen, 1, open.SerializeAsString());
  ExpectProtocolError("malformed port", 1);
  EXPECT_TRUE(handler_.opened.empty());
}

TEST_F(AcceptorTest, DataBeforeOpenEndsTheTunnel) {
  Start();
  Greet();
  SendData(*raw_.stream, "x");
  ExpectProtocolError("application data outside a connection", 0);
}

TEST_F(AcceptorTest, ASilentDialerIsNotWaitedFor) {
  Start({.hello = std::chrono::milliseconds(50), .idle = std::chrono::minutes(9)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(End()));
}

TEST_F(AcceptorTest, AnIdleTunnelEndsInOrder) {
  handler_.codes = {proto::CODE_OK};
  // Long enough for HELLO and OPEN to come in time on a slow machine.
  Start({.hello = std::chrono::seconds(30), .idle = std::chrono::seconds(1)});
  Greet();
  Open(1);
  ExpectResult(1, proto::CODE_OK);
  ExpectMessage(MessageType::kDone, 1);
  EXPECT_TRUE(End().ok());
  ExpectMessage(MessageType::kGoAway, 0);
  EXPECT_TRUE(absl::IsOutOfRange(ReceiveRaw(*raw_.stream).status()));
}

TEST_F(AcceptorTest, DrainsWhileItWaits) {
  Start();
  Greet();
  loop_.Settle(std::chrono::milliseconds(20));
  tunnel_->Retire();
  tunnel_->stream().CancelReceive();
  EXPECT_TRUE(End().ok());
  ExpectMessage(MessageType::kGoAway, 0);
  EXPECT_TRUE(absl::IsOutOfRange(ReceiveRaw(*raw_.stream).status()));
}

TEST_F(AcceptorTest, ATruncatedTunnelIsDataLoss) {
  Start();
  Greet();
  raw_.stream.reset();
  EXPECT_TRUE(absl::IsDataLoss(End()));
}

}  // namespace
}  // namespace tombolo::tunnel
