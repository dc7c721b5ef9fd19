// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "relay/relay.h"
#include "unit/relay/transfer.h"
#include "unit/tunnel/tunnel_pair.h"

namespace tombolo::relay {

// An application and an endpoint, with a relay each and one tunnel between them:
//
//   app_ --TCP-- [dialer's relay] --tunnel-- [acceptor's relay] --TCP-- server_
class RelayTest : public tunnel::TunnelTest {
 protected:
  struct Side {
    std::unique_ptr<tunnel::Tunnel> tunnel;
    std::unique_ptr<Relay> relay;
    std::shared_ptr<std::optional<absl::Status>> ended;
    tunnel::proto::Code heard{};  // with RESET, from the other
  };

  void Connect() {
    Pair pair = MakeGreetedTunnels();
    dialer_.tunnel = std::move(pair.dialer);
    acceptor_.tunnel = std::move(pair.acceptor);
    Carry();
  }
  // Another connection through the same tunnel.
  void Carry() {
    app_ = StartSide(dialer_);
    server_ = StartSide(acceptor_);
  }
  Fd StartSide(Side& side) {
    auto [end, plain] = testing::TcpPair();
    side.tunnel->BeginConnection();
    side.relay = std::make_unique<Relay>(loop_.Adopt(std::move(plain)), *side.tunnel);
    side.ended = Begin(*side.relay, *side.tunnel);
    return std::move(end);
  }
  // How it has ended, once a tunnel that cannot go on is closed, too.
  std::shared_ptr<std::optional<absl::Status>> Begin(Relay& relay, tunnel::Tunnel& tunnel) {
    auto ended = std::make_shared<std::optional<absl::Status>>();
    relay.Start([this, ended, &tunnel](Relay::End end) {
      (&tunnel == dialer_.tunnel.get() ? dialer_ : acceptor_).heard = end.peer_code;
      if (end.status.ok()) {
        *ended = end.status;
      } else {
        loop_.Start(CloseTunnelAndTell(tunnel, std::move(end), ended));
      }
    });
    return ended;
  }
  static Awaitable<absl::Status> CloseTunnelAndTell(
      tunnel::Tunnel& tunnel, Relay::End end, std::shared_ptr<std::optional<absl::Status>> ended) {
    const absl::Status status = end.status;
    co_await CloseTunnel(tunnel, std::move(end));
    *ended = status;
    co_return status;
  }
  bool BothEnd() {
    return loop_.RunUntil(
        [&] { return dialer_.ended->has_value() && acceptor_.ended->has_value(); });
  }
  void ExpectOrderlyEnd() {
    ASSERT_TRUE(BothEnd());
    EXPECT_TRUE((**dialer_.ended).ok()) << **dialer_.ended;
    EXPECT_TRUE((**acceptor_.ended).ok()) << **acceptor_.ended;
    for (Side* side : {&dialer_, &acceptor_}) {
      EXPECT_TRUE(side->tunnel->reusable());
      EXPECT_TRUE(side->tunnel->stream().quiet());
    }
    EXPECT_EQ(buffers_.in_use(), 0u);
  }
  void ExpectFailedEnd() {
    ASSERT_TRUE(BothEnd());
    for (Side* side : {&dialer_, &acceptor_}) {
      EXPECT_FALSE((**side->ended).ok());
      EXPECT_FALSE(side->tunnel->reusable());
      EXPECT_EQ(side->tunnel->stream().socket().get(), -1);
    }
    dialer_.tunnel.reset();
    acceptor_.tunnel.reset();
    EXPECT_EQ(buffers_.in_use(), 0u);
  }

  using Transfer = testing::Transfer;
  void PumpUntilStuck(Transfer& transfer) { testing::PumpUntilStuck(loop_, transfer); }
  void Move(Transfer& transfer) { testing::Move(loop_, transfer); }
  void MoveText(int from, int to, const std::string& text) {
    testing::MoveText(loop_, from, to, text);
  }
  static std::string Text(std::size_t size) { return testing::Text(size); }
  int HowItEnds(int fd) { return testing::HowItEnds(loop_, fd); }
  static void Reset(Fd& fd) { testing::Reset(fd); }

  Side dialer_, acceptor_;
  Fd app_, server_;
};

}  // namespace tombolo::relay
