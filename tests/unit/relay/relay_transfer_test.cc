// SPDX-License-Identifier: Apache-2.0
// What arrives: every byte, each end in its direction, and no more memory than allowed.
#include <gmock/gmock.h>

#include "unit/relay/relay_pair.h"

namespace tombolo::relay {
namespace {

constexpr std::size_t kBulk = 8 << 20;

TEST_F(RelayTest, BulkBothWaysAtOnce) {
  Connect();
  Transfer up{.from = app_.get(), .to = server_.get(), .data = Text(kBulk + 1)};
  Transfer down{.from = server_.get(), .to = app_.get(), .data = Text(kBulk)};
  ASSERT_TRUE(loop_.RunUntil([&] {
    const bool up_ended = up.Pump();
    return down.Pump() && up_ended;
  }));
  EXPECT_TRUE(up.got == up.data && down.got == down.data);
  app_.Close();
  server_.Close();
  ExpectOrderlyEnd();
  EXPECT_EQ(dialer_.relay->counters().to_tunnel, kBulk + 1);
  EXPECT_EQ(dialer_.relay->counters().from_tunnel, kBulk);
  EXPECT_EQ(acceptor_.relay->counters().to_tunnel, kBulk);
  EXPECT_EQ(acceptor_.relay->counters().from_tunnel, kBulk + 1);
}

TEST_F(RelayTest, AHalfCloseEndsOneDirectionOnly) {
  for (const bool app_first : {true, false}) {
    Connect();
    const int first = app_first ? app_.get() : server_.get();
    const int second = app_first ? server_.get() : app_.get();
    Transfer request{.from = first, .to = second, .data = "request"};
    Move(request);
    MoveText(second, first, "some");
    Transfer response{.from = second, .to = first, .data = Text(1 << 20)};
    Move(response);
    app_.Close();
    server_.Close();
    ExpectOrderlyEnd();
  }
}

TEST_F(RelayTest, ConnectionsWithoutAByteEndInOrder) {
  Connect();
  app_.Close();
  EXPECT_EQ(HowItEnds(server_.get()), 0);
  server_.Close();
  ExpectOrderlyEnd();
}

TEST_F(RelayTest, OneTunnelCarriesAHundredConnections) {
  tunnel::TestIdentities::Get();
  Connect();
  const std::size_t descriptors = tunnel::OpenDescriptors();
  for (int i = 0; i < 100; ++i) {
    Transfer up{.from = app_.get(), .to = server_.get(), .data = "request " + std::to_string(i)};
    Move(up);
    Transfer down{.from = server_.get(), .to = app_.get(), .data = Text(1000 + i * 100)};
    Move(down);
    app_.Close();
    server_.Close();
    ExpectOrderlyEnd();
    if (HasFailure()) return;
    EXPECT_EQ(dialer_.tunnel->connection(), i + 1u);
    if (i < 99) Carry();
  }
  EXPECT_EQ(tunnel::OpenDescriptors() + 4, descriptors);  // the plain sockets are gone
}

TEST_F(RelayTest, ASlowReaderStopsTheSender) {
  Connect();
  Transfer stuck{.from = app_.get(), .to = -1, .data = std::string(256 << 20, 'x')};
  PumpUntilStuck(stuck);
  // At most one batch in each direction of each relay; the rest is in the kernel.
  EXPECT_LE(buffers_.in_use(), 4u);
  const std::uint64_t moved = dialer_.relay->counters().to_tunnel;
  // The other direction is not held up.
  MoveText(server_.get(), app_.get(), Text(100'000));
  loop_.Settle();
  EXPECT_EQ(dialer_.relay->counters().to_tunnel, moved);
  stuck.data.resize(stuck.sent);
  stuck.to = server_.get();
  Move(stuck);
  app_.Close();
  server_.Close();
  ExpectOrderlyEnd();
}

TEST_F(RelayTest, AnIdleConnectionHoldsNoBuffer) {
  Connect();
  MoveText(app_.get(), server_.get(), Text(300'000));
  MoveText(server_.get(), app_.get(), Text(300'000));
  loop_.Settle();
  EXPECT_EQ(buffers_.in_use(), 0u);
  EXPECT_FALSE(dialer_.ended->has_value());
  app_.Close();
  server_.Close();
  ExpectOrderlyEnd();
}

// DONE must not come before the endpoint has everything: the next connection could
// overtake what is still in a socket buffer.
TEST_F(RelayTest, DoneComesAfterTheEndpointIsDrained) {
  Connect();
  ASSERT_EQ(shutdown(server_.get(), SHUT_WR), 0);
  EXPECT_EQ(HowItEnds(app_.get()), 0);
  // More than the endpoint's socket buffers take, so that it lies in the agent's.
  Transfer up{.from = app_.get(), .to = -1, .data = std::string(64 << 20, 'x')};
  PumpUntilStuck(up);
  up.data.resize(up.sent);
  up.Pump();
  loop_.Settle();
  EXPECT_FALSE(dialer_.ended->has_value());
  EXPECT_FALSE(acceptor_.ended->has_value());
  // All but the last bytes: still not.
  std::size_t got = 0;
  ASSERT_TRUE(loop_.RunUntil([&] {
    char part[4096];
    for (ssize_t n;
         got < up.data.size() - 4096 && (n = recv(server_.get(), part, sizeof(part), 0)) > 0;)
      got += n;
    return got >= up.data.size() - 4096;
  }));
  EXPECT_EQ(HowItEnds(server_.get()), 0);
  server_.Close();
  app_.Close();
  ExpectOrderlyEnd();
}

TEST_F(RelayTest, PingsAreAnsweredDuringATransfer) {
  Connect();
  Transfer up{.from = app_.get(), .to = server_.get(), .data = Text(kBulk)};
  Transfer down{.from = server_.get(), .to = app_.get(), .data = Text(kBulk)};
  int pings = 0;
  auto last = std::chrono::steady_clock::now();
  ASSERT_TRUE(loop_.RunUntil([&] {
    if (down.got.size() < kBulk / 2 &&
        std::chrono::steady_clock::now() - last > std::chrono::microseconds(200)) {
      last = std::chrono::steady_clock::now();
      ++pings;
      for (Side* side : {&dialer_, &acceptor_}) {
        loop_.Start(side->tunnel->Send(tunnel::MessageType::kPing, "ping", tunnel::Soon()));
      }
    }
    const bool up_ended = up.Pump();
    return down.Pump() && up_ended;
  }));
  EXPECT_TRUE(up.got == up.data && down.got == down.data);
  EXPECT_GT(pings, 0);
  app_.Close();
  server_.Close();
  // A PING may have waited behind megabytes of data, so that its PONG is behind END or
  // DONE: the tunnel is in order and has something left to read.
  ASSERT_TRUE(BothEnd());
  for (Side* side : {&dialer_, &acceptor_}) {
    EXPECT_TRUE((**side->ended).ok()) << **side->ended;
    EXPECT_TRUE(side->tunnel->reusable());
  }
}

// A PING is answered in the middle of a connection: a raw dialer sees the PONG.
TEST_F(RelayTest, APingWithinAConnectionIsAnswered) {
  auto [raw, theirs] = Handshake();
  acceptor_.tunnel = std::make_unique<tunnel::Tunnel>(std::move(theirs), tunnel::Role::kAcceptor);
  server_ = StartSide(acceptor_);
  for (const bool after_end : {false, true}) {
    if (after_end) SendMessage(*raw.stream, tunnel::MessageType::kEnd, 1);
    SendMessage(*raw.stream, tunnel::MessageType::kPing, 0, "now");
    const auto pong = ReceiveRaw(*raw.stream);
    ASSERT_TRUE(pong.ok()) << pong.status();
    EXPECT_EQ(pong->type, tunnel::MessageType::kPong);
  }
  server_.Close();
  EXPECT_EQ(ReceiveRaw(*raw.stream)->type, tunnel::MessageType::kEnd);
  EXPECT_EQ(ReceiveRaw(*raw.stream)->type, tunnel::MessageType::kDone);
  ASSERT_TRUE(loop_.RunUntil([&] { return acceptor_.ended->has_value(); }));
  EXPECT_TRUE((**acceptor_.ended).ok());
}

}  // namespace
}  // namespace tombolo::relay
