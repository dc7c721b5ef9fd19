// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "relay/relay.h"
#include "unit/tls/stream_pair.h"
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

  // A whole transfer from one plain socket to another, driven by Pump().
  struct Transfer {
    int from, to;
    std::string data;
    bool half_close = true;
    std::size_t sent = 0;
    std::string got = {};
    bool closed = false;  // the sender has half-closed
    bool ended = false;   // and the receiver has seen it

    bool Pump() {
      while (sent < data.size()) {
        const ssize_t n = send(from, data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
        if (n < 0) break;
        sent += static_cast<std::size_t>(n);
      }
      if (sent == data.size() && half_close && !closed) closed = shutdown(from, SHUT_WR) == 0;
      char part[65536];
      ssize_t n;
      while ((n = recv(to, part, sizeof(part), 0)) > 0) got.append(part, n);
      if (n == 0) ended = true;
      return half_close ? ended : got.size() >= data.size();
    }
  };
  // Sends until nothing has moved for a while: every buffer on the way is full.
  void PumpUntilStuck(Transfer& transfer) {
    for (std::size_t before = 1; before != transfer.sent;) {
      before = transfer.sent;
      ASSERT_TRUE(before < transfer.data.size()) << "nothing stops the sender";
      loop_.RunUntil([&, until = After(std::chrono::milliseconds(200))] {
        transfer.Pump();
        return std::chrono::steady_clock::now() > until;
      });
      loop_.Settle();
    }
  }
  void Move(Transfer& transfer) {
    EXPECT_TRUE(loop_.RunUntil([&] { return transfer.Pump(); }))
        << transfer.sent << " sent, " << transfer.got.size() << " of " << transfer.data.size();
    EXPECT_TRUE(transfer.got == transfer.data);
  }
  void MoveText(int from, int to, const std::string& text) {
    Transfer transfer{.from = from, .to = to, .data = text, .half_close = false};
    Move(transfer);
  }

  static std::string Text(std::size_t size) {
    const auto bytes = testing::Pattern(size);
    return {bytes.begin(), bytes.end()};
  }
  // The errno with which reading `fd` ends; 0: an orderly end of stream.
  int HowItEnds(int fd) {
    int error = -1;
    EXPECT_TRUE(loop_.RunUntil([&] {
      char part[65536];
      ssize_t n;
      while ((n = recv(fd, part, sizeof(part), 0)) > 0) {
      }
      if (n < 0 && errno == EAGAIN) return false;
      error = n == 0 ? 0 : errno;
      return true;
    }));
    return error;
  }
  static void Reset(Fd& fd) {
    net::ResetOnClose(fd.get());
    fd.Close();
  }

  Side dialer_, acceptor_;
  Fd app_, server_;
};

}  // namespace tombolo::relay
