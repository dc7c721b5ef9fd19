// SPDX-License-Identifier: Apache-2.0
#include "gateway/mover.h"

#include <signal.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "unit/relay/transfer.h"

namespace tombolo::gateway {
namespace {

using testing::Text;
using testing::Transfer;

//   client_ --TCP-- [mover] --TCP-- node_
class MoverTest : public ::testing::Test {
 protected:
  explicit MoverTest(std::size_t max_pipes = 64) : pool_(max_pipes) {
    signal(SIGPIPE, SIG_IGN);  // as the agent does
  }
  void SetUp() override { Connect(); }

  void Connect() {
    auto [client, accepted] = testing::TcpPair();
    auto [dialed, node] = testing::TcpPair();
    client_ = std::move(client);
    node_ = std::move(node);
    // As the listener and the dialer do.
    net::ResetOnClose(accepted.get());
    net::ResetOnClose(dialed.get());
    status_.reset();
    mover_ = std::make_unique<Mover>(loop_.Adopt(std::move(accepted)),
                                     loop_.Adopt(std::move(dialed)), pool_, totals_);
    mover_->Start([this](absl::Status status) {
      mover_.reset();
      status_ = std::move(status);
    });
  }
  // Whether it ended in order, with nothing left of it.
  bool EndsInOrder() {
    if (!loop_.RunUntil([this] { return status_.has_value(); })) return false;
    ExpectNothingHeld();
    return status_->ok();
  }
  void ExpectNothingHeld() {
    EXPECT_EQ(pool_.in_use(), 0u);
    EXPECT_EQ(pool_.pipes().in_use(), 0u);
  }
  void ExpectReset(int fd) { EXPECT_EQ(testing::HowItEnds(loop_, fd), ECONNRESET); }
  void MoveText(int from, int to, const std::string& text) {
    testing::MoveText(loop_, from, to, text);
  }

  testing::Loop loop_;
  net::BufferPool pool_;
  Mover::Totals totals_;
  Fd client_, node_;
  std::optional<absl::Status> status_;
  std::unique_ptr<Mover> mover_;
};

// Without pipes everything is copied: the bytes must be the same.
class CopyingMoverTest : public MoverTest {
 protected:
  CopyingMoverTest() : MoverTest(0) {}
};

void MoveEverything(testing::Loop& loop, int client, int node) {
  for (const std::size_t size : {1u, 5u, 16383u, 16384u, 16385u, 1u << 20, 4u << 20}) {
    testing::MoveText(loop, client, node, Text(size));
    testing::MoveText(loop, node, client, Text(size));
  }
}

TEST_F(MoverTest, EveryByteBothWays) {
  MoveEverything(loop_, client_.get(), node_.get());
  ExpectNothingHeld();
  EXPECT_EQ(mover_->counts().to_node, mover_->counts().from_node);
  EXPECT_EQ(totals_.to_node, mover_->counts().to_node);
}

TEST_F(CopyingMoverTest, EveryByteBothWays) {
  MoveEverything(loop_, client_.get(), node_.get());
  ExpectNothingHeld();
}

TEST_F(MoverTest, BothWaysAtOnce) {
  Transfer up{.from = client_.get(), .to = node_.get(), .data = Text(6 << 20)};
  Transfer down{.from = node_.get(), .to = client_.get(), .data = Text(4 << 20)};
  EXPECT_TRUE(loop_.RunUntil([&] {
    const bool done = up.Pump();
    return down.Pump() && done;
  }));
  EXPECT_TRUE(up.got == up.data);
  EXPECT_TRUE(down.got == down.data);
  EXPECT_TRUE(EndsInOrder());
}

TEST_F(MoverTest, AnAnswerIsWhatTheClientGoesOnAfter) {
  int answered = 0;
  auto [client, accepted] = testing::TcpPair();
  auto [dialed, node] = testing::TcpPair();
  Mover mover(loop_.Adopt(std::move(accepted)), loop_.Adopt(std::move(dialed)), pool_, totals_);
  bool ended = false;
  mover.WhenAnswered([&] { ++answered; });
  mover.Start([&](const absl::Status&) { ended = true; });
  MoveText(client.get(), node.get(), "hello");
  MoveText(client.get(), node.get(), "and more");
  EXPECT_EQ(answered, 0);
  MoveText(node.get(), client.get(), "answer");
  EXPECT_EQ(answered, 0);
  MoveText(client.get(), node.get(), "finished");
  EXPECT_EQ(answered, 1);
  MoveText(node.get(), client.get(), "data");
  MoveText(client.get(), node.get(), "data");
  EXPECT_EQ(answered, 1);
  mover.Stop(absl::CancelledError("enough"));
  EXPECT_TRUE(loop_.RunUntil([&] { return ended; }));
}

TEST_F(MoverTest, AnEndIsOneInItsDirectionOnly) {
  Transfer up{.from = client_.get(), .to = node_.get(), .data = Text(100'000)};
  testing::Move(loop_, up);
  EXPECT_TRUE(up.ended);
  loop_.Settle();
  EXPECT_FALSE(status_);
  for (int i = 0; i < 3; ++i) MoveText(node_.get(), client_.get(), Text(200'000));
  Transfer down{.from = node_.get(), .to = client_.get(), .data = "last"};
  testing::Move(loop_, down);
  EXPECT_TRUE(EndsInOrder());
}

TEST_F(MoverTest, AnEndOfTheNodesIsOneInItsDirectionOnly) {
  Transfer down{.from = node_.get(), .to = client_.get(), .data = ""};
  testing::Move(loop_, down);
  MoveText(client_.get(), node_.get(), Text(200'000));
  Transfer up{.from = client_.get(), .to = node_.get(), .data = "last"};
  testing::Move(loop_, up);
  EXPECT_TRUE(EndsInOrder());
}

// What the kernel has still to send when the mover is gone arrives, and then the end.
TEST_F(MoverTest, TheLastBytesArriveAfterItsEnd) {
  const std::string text = Text(400'000);
  ASSERT_EQ(shutdown(client_.get(), SHUT_WR), 0);
  Transfer down{.from = node_.get(), .to = client_.get(), .data = text};
  EXPECT_TRUE(loop_.RunUntil([&] {
    while (down.sent < text.size()) {
      const ssize_t n = send(node_.get(), text.data() + down.sent, text.size() - down.sent, 0);
      if (n < 0) break;
      down.sent += static_cast<std::size_t>(n);
    }
    if (down.sent == text.size()) shutdown(node_.get(), SHUT_WR);
    return status_.has_value();
  }));
  EXPECT_TRUE(status_->ok()) << *status_;
  testing::Move(loop_, down);
}

TEST_F(MoverTest, AResetIsOne) {
  MoveText(client_.get(), node_.get(), "hello");
  testing::Reset(client_);
  ExpectReset(node_.get());
  EXPECT_FALSE(EndsInOrder());
  Connect();
  MoveText(client_.get(), node_.get(), "hello");
  testing::Reset(node_);
  ExpectReset(client_.get());
  EXPECT_FALSE(EndsInOrder());
}

// Nobody reads from it any more then.
TEST_F(MoverTest, AResetBehindAnEnd) {
  Transfer up{.from = client_.get(), .to = node_.get(), .data = "all"};
  testing::Move(loop_, up);
  testing::Reset(client_);
  EXPECT_TRUE(loop_.RunUntil([&] { return net::TakeError(node_.get()) != 0; }));
  EXPECT_FALSE(EndsInOrder());
}

// Nor while what was read cannot be written.
TEST_F(MoverTest, AResetBehindBytesThatAreStuck) {
  Transfer up{.from = client_.get(), .to = node_.get(), .data = Text(32 << 20)};
  int none[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, none), 0);
  const Fd one(none[0]), other(none[1]);
  up.to = one.get();  // so that nobody reads
  testing::PumpUntilStuck(loop_, up);
  testing::Reset(client_);
  EXPECT_FALSE(EndsInOrder());
  ExpectReset(node_.get());
}

// A slow reader's bytes are in its socket, and at most one pipe or buffer: none is read before
// there is room for it. When it reads again they go on.
void StopAndGo(testing::Loop& loop, int from, int to, const std::function<void()>& when_stuck) {
  Transfer transfer{.from = from, .to = to, .data = Text(32 << 20)};
  int none[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, none), 0);
  const Fd one(none[0]), other(none[1]);
  transfer.to = one.get();
  testing::PumpUntilStuck(loop, transfer);
  when_stuck();
  transfer.to = to;
  transfer.ended = false;
  testing::Move(loop, transfer);
}

TEST_F(MoverTest, ASlowReader) {
  StopAndGo(loop_, client_.get(), node_.get(), [this] {
    EXPECT_LE(pool_.pipes().in_use(), 1u);
    EXPECT_EQ(pool_.in_use(), 0u);
  });
  ASSERT_EQ(shutdown(node_.get(), SHUT_WR), 0);
  EXPECT_TRUE(EndsInOrder());
}

TEST_F(CopyingMoverTest, ASlowReader) {
  StopAndGo(loop_, client_.get(), node_.get(), [this] { ExpectNothingHeld(); });
  ASSERT_EQ(shutdown(node_.get(), SHUT_WR), 0);
  EXPECT_TRUE(EndsInOrder());
}

TEST_F(MoverTest, StoppedFromOutside) {
  MoveText(client_.get(), node_.get(), "hello");
  mover_->Stop(absl::CancelledError("enough"));
  EXPECT_FALSE(EndsInOrder());
  EXPECT_TRUE(absl::IsCancelled(*status_));
  ExpectReset(client_.get());
  ExpectReset(node_.get());
}

// The process dies: its sockets are closed by nobody in particular.
TEST_F(MoverTest, ADeathIsAReset) {
  MoveText(client_.get(), node_.get(), "all");
  mover_.reset();
  ExpectReset(client_.get());
  ExpectReset(node_.get());
}

// What has come before the mover began gives no edge any more.
TEST_F(MoverTest, BytesThatWereThereBefore) {
  auto [client, accepted] = testing::TcpPair();
  auto [dialed, node] = testing::TcpPair();
  ASSERT_EQ(send(client.get(), "hello", 5, 0), 5);
  net::AsyncFd from = loop_.Adopt(std::move(accepted));
  loop_.Settle();
  from.ClearReadable();
  Mover mover(std::move(from), loop_.Adopt(std::move(dialed)), pool_, totals_);
  bool ended = false;
  mover.Start([&](const absl::Status&) { ended = true; });
  char got[16];
  EXPECT_TRUE(loop_.RunUntil([&] { return recv(node.get(), got, sizeof(got), 0) == 5; }));
  client.Close();
  node.Close();
  EXPECT_TRUE(loop_.RunUntil([&] { return ended; }));
}

}  // namespace
}  // namespace tombolo::gateway
