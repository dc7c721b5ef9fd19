// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "testing/test_pki.h"
#include "tls/handshake.h"
#include "tunnel/messages.h"
#include "tunnel/tunnel.h"
#include "unit/tls/loop.h"
#include "unit/tls/record_layer.h"

namespace tombolo::tunnel {

using testing::Loop;
using testing::TcpPair;

inline MonotonicTime Soon() { return After(std::chrono::seconds(30)); }
inline MonotonicTime Shortly() { return After(std::chrono::milliseconds(100)); }

inline std::size_t OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// One root and two SVIDs for the whole program: making them is slow.
struct TestIdentities {
  testing::TestPki pki;
  tls::CredentialsPtr client = pki.Credentials("/client");
  tls::CredentialsPtr server = pki.Credentials("/server");

  static const TestIdentities& Get() {
    static const auto* identities = new TestIdentities;
    return *identities;
  }
};

// Handshakes over loopback TCP, with everything on one thread.
class TunnelTest : public ::testing::Test {
 protected:
  using SessionPair = std::pair<tls::Session, tls::Session>;  // dialer's, acceptor's

  TunnelTest() { std::signal(SIGPIPE, SIG_IGN); }

  SessionPair Handshake() {
    const TestIdentities& ids = TestIdentities::Get();
    auto [a, b] = TcpPair();
    auto dialed = loop_.Start(tls::HandshakeAsClient(loop_.Adopt(std::move(a)), ids.client, "name",
                                                     ids.server->id(), records_, Soon()));
    auto accepted = loop_.Start(tls::HandshakeAsServer(
        loop_.Adopt(std::move(b)), [&ids](absl::string_view) { return ids.server; }, records_,
        Soon()));
    EXPECT_TRUE(loop_.RunUntil([&] { return dialed->has_value() && accepted->has_value(); }));
    EXPECT_EQ((**dialed)->stream->layer(), testing::LayerUnderTest());
    EXPECT_EQ((**accepted)->stream->layer(), testing::LayerUnderTest());
    return {*std::move(**dialed), *std::move(**accepted)};
  }

  struct Pair {
    std::unique_ptr<Tunnel> dialer, acceptor;
  };
  Pair MakeTunnels() {
    auto [a, b] = Handshake();
    return {std::make_unique<Tunnel>(std::move(a), Role::kDialer),
            std::make_unique<Tunnel>(std::move(b), Role::kAcceptor)};
  }
  // Both have greeted each other.
  Pair MakeGreetedTunnels() {
    Pair pair = MakeTunnels();
    for (Tunnel* tunnel : {pair.dialer.get(), pair.acceptor.get()}) {
      EXPECT_TRUE(tunnel->PostHello().ok());
    }
    for (Tunnel* tunnel : {pair.dialer.get(), pair.acceptor.get()}) {
      EXPECT_TRUE(loop_.Run(tunnel->ExpectHello(Soon())).ok());
    }
    return pair;
  }

  void SendRaw(tls::RecordStream& stream, const Bytes& record) {
    EXPECT_TRUE(loop_.Run(stream.SendControl(record, Soon())).ok());
  }
  void SendMessage(tls::RecordStream& stream, MessageType type, std::uint32_t connection = 0,
                   std::string payload = "") {
    SendRaw(stream, Encode({type, connection, std::move(payload)}));
  }
  void SendData(tls::RecordStream& stream, absl::string_view text) {
    EXPECT_TRUE(loop_
                    .Run(stream.Send(
                        {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, Soon()))
                    .ok());
  }
  // The next record as a message.
  absl::StatusOr<Message> ReceiveRaw(tls::RecordStream& stream) {
    const absl::StatusOr<tls::Record> record = loop_.Run(stream.Receive(Soon()));
    if (!record.ok()) return record.status();
    if (record->type != tls::kControl) return absl::InternalError("application data");
    return Decode(record->payload);
  }

  Loop loop_;
  net::BufferPool buffers_;
  tls::RecordSettings records_{buffers_, testing::KernelUnderTest()};
};

inline std::string HelloPayload(std::uint32_t version = kVersion) {
  proto::Hello hello;
  hello.set_version(version);
  return hello.SerializeAsString();
}

inline proto::Open MakeOpen() {
  proto::Open open;
  open.set_connection_id(std::string(16, 'i'));
  open.set_service("shop/web");
  open.set_port(80);
  return open;
}

inline std::string ResultPayload(proto::Code code) {
  proto::Result result;
  result.set_code(code);
  return result.SerializeAsString();
}

}  // namespace tombolo::tunnel
