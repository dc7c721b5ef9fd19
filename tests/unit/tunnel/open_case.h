// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tunnel/open.h"
#include "unit/tls/stream_pair.h"
#include "unit/tunnel/tunnel_pair.h"

namespace tombolo::tunnel {

inline std::string PatternText(std::size_t size) {
  const auto bytes = testing::Pattern(size);
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

}  // namespace tombolo::tunnel
