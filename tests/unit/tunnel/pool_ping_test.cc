// SPDX-License-Identifier: Apache-2.0
// Signs of life of idle tunnels.
#include <poll.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "net/socket.h"
#include "unit/tunnel/pool_case.h"

namespace tombolo::tunnel {
namespace {

// With a clock of its own: nothing is due until the test says so.
class PoolPingTest : public PoolTest {
 protected:
  static constexpr Duration kPing = std::chrono::seconds(3);

  Pool& MakeWithPings() {
    Pool::Options options;
    options.ping = kPing;
    options.now = [this] { return now_; };
    options.on_round_trip = [this](const Tunnel& tunnel, Duration took) {
      round_trips_.push_back(
          absl::StrCat(tunnel.peer_address, " ",
                       std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
    };
    options.on_way_dead = [this](const Tunnel& dead) { dead_.push_back(dead.peer_address); };
    return Make(std::move(options));
  }
  // Idle from now on, on the way to `way`. The acceptor's end.
  tls::RecordStream& Idle(const std::string& key, const std::string& way) {
    auto tunnel = Dial(key);
    tunnel->peer_address = way;
    pool_->Put(std::move(tunnel));
    return *raw_.back().stream;
  }
  void Pass(Duration time) {
    now_ += time;
    pool_->Sweep();
  }
  static bool Arrived(tls::RecordStream& raw) {
    // Not recv(): the kernel's records refuse to show what is no application data.
    pollfd ready{.fd = raw.socket().get(), .events = POLLIN, .revents = 0};
    return poll(&ready, 1, 0) > 0;
  }
  bool Asked(tls::RecordStream& raw) {
    return loop_.RunUntil([&] { return Arrived(raw); });
  }
  bool NotAsked(tls::RecordStream& raw) {
    loop_.Settle(std::chrono::milliseconds(20));
    return !Arrived(raw);
  }
  // Answers the PING that must have come, and waits until the pool knows.
  void Answer(tls::RecordStream& raw) {
    const auto ping = ReceiveRaw(raw);
    ASSERT_TRUE(ping.ok()) << ping.status();
    ASSERT_EQ(ping->type, MessageType::kPing);
    const std::size_t before = round_trips_.size();
    SendMessage(raw, MessageType::kPong, 0, ping->payload);
    ASSERT_TRUE(loop_.RunUntil([&] { return round_trips_.size() > before; }));
  }

  MonotonicTime now_ = std::chrono::steady_clock::now();
  std::vector<std::string> round_trips_, dead_;
};

TEST_F(PoolPingTest, AsksAfterASilenceAndReportsTheRoundTrip) {
  Pool& pool = MakeWithPings();
  tls::RecordStream& raw = Idle("a", "w");
  Pass(kPing - std::chrono::milliseconds(1));
  EXPECT_TRUE(NotAsked(raw));
  Pass(std::chrono::milliseconds(1));
  ASSERT_TRUE(Asked(raw));
  now_ += std::chrono::milliseconds(40);
  Answer(raw);
  EXPECT_THAT(round_trips_, ::testing::ElementsAre("w 40"));
  Pass(kPing - std::chrono::milliseconds(1));  // long after it was asked
  EXPECT_TRUE(NotAsked(raw));
  Pass(std::chrono::milliseconds(1));
  EXPECT_TRUE(Asked(raw));
  EXPECT_EQ(pool.size(), 1u);
  EXPECT_THAT(dead_, ::testing::IsEmpty());
}

TEST_F(PoolPingTest, ATunnelThatWasUsedMeanwhileIsNotAsked) {
  Pool& pool = MakeWithPings();
  tls::RecordStream& raw = Idle("a", "w");
  Pass(kPing / 2);
  pool.Put(pool.Take("a"));
  Pass(kPing / 2);
  EXPECT_TRUE(NotAsked(raw));
  // Nor does it owe an answer that it was asked for before.
  Pass(kPing / 2);
  ASSERT_TRUE(Asked(raw));
  pool.Put(pool.Take("a"));
  Pass(kPing / 2);
  Pass(kPing / 2);
  EXPECT_EQ(pool.size(), 1u);
  EXPECT_THAT(dead_, ::testing::IsEmpty());
}

TEST_F(PoolPingTest, OnlyWhatWouldBeUsedNextIsAsked) {
  MakeWithPings();
  tls::RecordStream& older = Idle("a", "w");
  tls::RecordStream& newer = Idle("a", "w");
  Pass(kPing);
  ASSERT_TRUE(Asked(newer));
  EXPECT_TRUE(NotAsked(older));
  Answer(newer);
  Pass(kPing - std::chrono::milliseconds(1));
  EXPECT_TRUE(NotAsked(older));
}

// As behind gateways, where a tunnel through any of them will do.
TEST_F(PoolPingTest, EachWayOfAKeyIsAsked) {
  MakeWithPings();
  tls::RecordStream& through_a = Idle("k", "a");
  tls::RecordStream& through_b = Idle("k", "b");
  Pass(kPing);
  EXPECT_TRUE(Asked(through_b));
  EXPECT_TRUE(Asked(through_a));
}

TEST_F(PoolPingTest, WithoutAnyAnswerTheWayIsDead) {
  Pool& pool = MakeWithPings();
  tls::RecordStream& silent = Idle("a", "dead");
  Idle("b", "dead");  // heard of before, not since
  tls::RecordStream& other = Idle("a", "alive");
  Pass(kPing);
  ASSERT_TRUE(Asked(other));
  Answer(other);
  Pass(kPing - std::chrono::milliseconds(1));
  EXPECT_THAT(dead_, ::testing::IsEmpty());
  EXPECT_EQ(pool.size(), 3u);
  Pass(std::chrono::milliseconds(1));
  EXPECT_THAT(dead_, ::testing::ElementsAre("dead"));
  EXPECT_EQ(pool.size(), 1u);
  EXPECT_EQ(pool.Take("b"), nullptr);
  EXPECT_NE(pool.Take("a"), nullptr);
  // Without a farewell, for which the kernel would wait.
  ASSERT_TRUE(loop_.RunUntil([&] { return silent.socket().hung_up(); }));
  EXPECT_EQ(net::TakeError(silent.socket().get()), ECONNRESET);
}

TEST_F(PoolPingTest, WhileOneTunnelOfTheWayAnswersOnlyTheSilentOneIsClosed) {
  Pool& pool = MakeWithPings();
  tls::RecordStream& older = Idle("a", "w");
  tls::RecordStream& silent = Idle("a", "w");
  Pass(kPing);
  ASSERT_TRUE(Asked(silent));
  Pass(std::chrono::seconds(1));  // it is in doubt: the next one is a witness
  ASSERT_TRUE(Asked(older));
  Answer(older);
  Pass(kPing - std::chrono::seconds(1));
  EXPECT_THAT(dead_, ::testing::IsEmpty());
  EXPECT_EQ(pool.size(), 1u);
  EXPECT_NE(pool.Take("a"), nullptr);
}

TEST_F(PoolPingTest, AConnectionThatEndedOnTheWayIsASignOfLifeToo) {
  Pool& pool = MakeWithPings();
  Idle("a", "w");
  Pass(kPing);
  now_ += std::chrono::milliseconds(1);
  Idle("b", "w");
  Pass(kPing / 2);
  Pass(kPing / 2);
  EXPECT_THAT(dead_, ::testing::IsEmpty());
  EXPECT_EQ(pool.Take("a"), nullptr);
  EXPECT_NE(pool.Take("b"), nullptr);
}

TEST_F(PoolPingTest, AnswersThatCouldNotBeReadInTimeAreWaitedFor) {
  Pool& pool = MakeWithPings();
  tls::RecordStream& raw = Idle("a", "w");
  Pass(kPing);
  ASSERT_TRUE(Asked(raw));
  Pass(10 * kPing);  // the machine was asleep
  EXPECT_EQ(pool.size(), 1u);
  SendMessage(raw, MessageType::kPong);
  loop_.Settle(std::chrono::milliseconds(20));
  Pass(kPing - std::chrono::milliseconds(1));
  EXPECT_EQ(pool.size(), 1u);
  EXPECT_THAT(dead_, ::testing::IsEmpty());
  // What took so long says nothing of the way.
  EXPECT_THAT(round_trips_, ::testing::Not(::testing::Contains("w 30000")));
}

TEST_F(PoolPingTest, ByItselfWithTheRealClock) {
  Pool::Options options;
  options.ping = std::chrono::milliseconds(60);
  options.on_way_dead = [this](const Tunnel& dead) { dead_.push_back(dead.peer_address); };
  Make(std::move(options));
  tls::RecordStream& raw = Idle("a", "w");
  EXPECT_TRUE(Asked(raw));
  EXPECT_TRUE(BecomesEmpty());
  EXPECT_THAT(dead_, ::testing::ElementsAre("w"));
}

TEST_F(PoolPingTest, NobodyIsAskedUnlessTold) {
  Pool::Options options;
  options.now = [this] { return now_; };
  Make(std::move(options));
  tls::RecordStream& raw = Idle("a", "w");
  Pass(std::chrono::seconds(30));
  EXPECT_TRUE(NotAsked(raw));
  EXPECT_EQ(pool_->size(), 1u);
}

}  // namespace
}  // namespace tombolo::tunnel
