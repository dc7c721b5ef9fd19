// SPDX-License-Identifier: Apache-2.0
#include "tunnel/pool.h"

#include <poll.h>

#include <list>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "net/socket.h"
#include "unit/tunnel/tunnel_pair.h"

namespace tombolo::tunnel {
namespace {

class PoolTest : public TunnelTest {
 protected:
  ~PoolTest() override { ShutDown(); }
  Pool& Make(Pool::Options options = {}) {
    pool_ = std::make_unique<Pool>(loop_.poller(), std::move(options));
    return *pool_;
  }
  void ShutDown() {
    if (pool_ != nullptr) loop_.Run(pool_->ShutDown());
    pool_.reset();
  }
  // A tunnel for `key`; the acceptor's side stays in raw_.
  std::unique_ptr<Tunnel> Dial(const std::string& key) {
    auto [a, b] = Handshake();
    raw_.push_back(std::move(b));
    auto tunnel = std::make_unique<Tunnel>(std::move(a), Role::kDialer);
    tunnel->pool_key = key;
    return tunnel;
  }
  bool ClosedInOrder(tls::Session& raw) {
    const absl::Status status = loop_.Run(raw.stream->Receive(Soon())).status();
    EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
    return absl::IsOutOfRange(status);
  }
  bool BecomesEmpty() {
    return loop_.RunUntil([&] { return pool_->size() == 0; });
  }

  std::unique_ptr<Pool> pool_;
  std::list<tls::Session> raw_;
};

TEST_F(PoolTest, GivesBackTheNewestOfItsKeyOnly) {
  Pool& pool = Make();
  auto first = Dial("a");
  auto second = Dial("a");
  const Tunnel* const one = first.get();
  const Tunnel* const two = second.get();
  pool.Put(std::move(first));
  pool.Put(std::move(second));
  pool.Put(Dial("b"));
  EXPECT_EQ(pool.size(), 3u);
  EXPECT_EQ(pool.Take("c"), nullptr);
  EXPECT_EQ(pool.Next("c"), nullptr);
  EXPECT_EQ(pool.Next("a"), two);
  EXPECT_EQ(pool.size(), 3u) << "that was only looked at";
  auto taken = pool.Take("a");
  EXPECT_EQ(taken.get(), two);
  auto older = pool.Take("a");
  EXPECT_EQ(older.get(), one);
  EXPECT_EQ(pool.Take("a"), nullptr);
  EXPECT_EQ(pool.size(), 1u);
  // Taken ones still work.
  ASSERT_TRUE(loop_.Run(older->Send(MessageType::kPing, "x", Soon())).ok());
  EXPECT_EQ(ReceiveRaw(*raw_.front().stream)->payload, "x");
}

TEST_F(PoolTest, AnswersPingsWhileIdle) {
  Pool& pool = Make();
  pool.Put(Dial("a"));
  tls::RecordStream& raw = *raw_.front().stream;
  for (int i = 0; i < 3; ++i) {
    SendMessage(raw, MessageType::kPing, 0, "ping");
    EXPECT_EQ(ReceiveRaw(raw)->payload, "ping");
  }
  loop_.Settle(std::chrono::milliseconds(20));
  EXPECT_EQ(pool.size(), 1u);
  EXPECT_NE(pool.Take("a"), nullptr);
}

// One read takes all of them, and so no further edge comes.
TEST_F(PoolTest, AnswersEverythingThatCameBeforePut) {
  Pool& pool = Make();
  auto tunnel = Dial("a");
  tls::RecordStream& raw = *raw_.front().stream;
  for (const char* text : {"1", "2", "3"}) SendMessage(raw, MessageType::kPing, 0, text);
  loop_.Settle(std::chrono::milliseconds(20));
  pool.Put(std::move(tunnel));
  for (const char* text : {"1", "2", "3"}) {
    const auto pong = ReceiveRaw(raw);
    ASSERT_TRUE(pong.ok()) << text << pong.status();
    EXPECT_EQ(pong->payload, text);
  }
  loop_.Settle(std::chrono::milliseconds(20));
  EXPECT_NE(pool.Take("a"), nullptr);
}

TEST_F(PoolTest, GoAwayRemovesAtOnce) {
  Pool& pool = Make();
  pool.Put(Dial("a"));
  SendMessage(*raw_.front().stream, MessageType::kGoAway);
  ASSERT_TRUE(BecomesEmpty());
  EXPECT_EQ(pool.Take("a"), nullptr);
  EXPECT_TRUE(ClosedInOrder(raw_.front()));
}

TEST_F(PoolTest, ClosedByThePeerIsRemovedAtOnce) {
  Pool& pool = Make();
  pool.Put(Dial("a"));
  loop_.Run(raw_.front().stream->CloseNotify(Soon()));
  EXPECT_TRUE(BecomesEmpty());
  pool.Put(Dial("a"));
  raw_.back().stream.reset();  // without a word
  EXPECT_TRUE(BecomesEmpty());
  EXPECT_EQ(pool.Take("a"), nullptr);
}

TEST_F(PoolTest, AnUnexpectedMessageEndsOnlyThatTunnel) {
  Pool& pool = Make();
  pool.Put(Dial("a"));
  pool.Put(Dial("a"));
  SendMessage(*raw_.front().stream, MessageType::kEnd, 0);
  const auto reset = ReceiveRaw(*raw_.front().stream);
  ASSERT_TRUE(reset.ok()) << reset.status();
  EXPECT_EQ(reset->type, MessageType::kReset);
  EXPECT_TRUE(ClosedInOrder(raw_.front()));
  EXPECT_EQ(pool.size(), 1u);
}

TEST_F(PoolTest, TellsOfPeersThatBreakTheProtocol) {
  std::vector<std::string> told;
  Pool::Options options;
  options.on_protocol_error = [&](const Tunnel& tunnel, const absl::Status& why) {
    EXPECT_TRUE(absl::IsInvalidArgument(why));
    told.push_back(absl::StrCat(tunnel.pool_key, ": ", why.message()));
  };
  Pool& pool = Make(options);
  for (const char* key : {"a", "b", "c"}) pool.Put(Dial(key));
  auto raw = raw_.begin();
  SendMessage(*raw->stream, MessageType::kEnd, 0);
  const std::uint8_t garbage[5 + 32] = {0x17, 3, 3, 0, 32};
  raw = std::next(raw);
  ASSERT_GT(send(raw->stream->socket().get(), garbage, sizeof(garbage), MSG_NOSIGNAL), 0);
  loop_.Run(std::next(raw)->stream->CloseNotify(Soon()));  // in order: nothing to tell
  ASSERT_TRUE(BecomesEmpty());
  ASSERT_TRUE(loop_.RunUntil([&] { return told.size() == 2; }));
  EXPECT_THAT(told, ::testing::UnorderedElementsAre("a: END on an idle tunnel",
                                                    ::testing::StartsWith("b: ")));
}

TEST_F(PoolTest, UnusableTunnelsAreNotKept) {
  Pool& pool = Make();
  auto retired = Dial("a");
  retired->Retire();
  pool.Put(std::move(retired));
  EXPECT_EQ(pool.size(), 0u);
  EXPECT_TRUE(ClosedInOrder(raw_.front()));
}

TEST_F(PoolTest, IdleTunnelsExpire) {
  Pool& pool = Make({.idle_limit = std::chrono::milliseconds(100)});
  pool.Put(Dial("a"));
  ASSERT_TRUE(BecomesEmpty());
  EXPECT_TRUE(ClosedInOrder(raw_.front()));
}

TEST_F(PoolTest, HasLimits) {
  Pool& pool = Make({.max_per_key = 2, .max_idle = 3});
  for (const char* key : {"a", "a", "a", "b", "c"}) pool.Put(Dial(key));
  EXPECT_EQ(pool.size(), 3u);
  EXPECT_TRUE(ClosedInOrder(*std::next(raw_.begin(), 2)));  // the third of "a"
  EXPECT_TRUE(ClosedInOrder(raw_.back()));                  // the fourth of all
  EXPECT_EQ(pool.Take("c"), nullptr);
}

TEST_F(PoolTest, ALimitOfNothingKeepsNothing) {
  Pool& pool = Make({.max_per_key = 0});
  pool.Put(Dial("a"));
  EXPECT_EQ(pool.size(), 0u);
  EXPECT_EQ(pool.Take("a"), nullptr);
}

TEST_F(PoolTest, DiscardIfClosesWhatIsStale) {
  Pool& pool = Make();
  pool.Put(Dial("a"));
  pool.Put(Dial("b"));
  pool.DiscardIf([](const Tunnel& tunnel) { return tunnel.pool_key == "a"; });
  EXPECT_TRUE(ClosedInOrder(raw_.front()));
  int seen = 0;
  pool.ForEach([&](const Tunnel& tunnel) { seen += tunnel.pool_key == "b" ? 1 : 100; });
  EXPECT_EQ(seen, 1);
}

TEST_F(PoolTest, ShutDownSaysGoodbyeAndTakesNoMore) {
  Pool& pool = Make();
  pool.Put(Dial("a"));
  pool.Put(Dial("b"));
  auto late = Dial("c");
  loop_.Run(pool.ShutDown());
  pool.Put(std::move(late));
  EXPECT_EQ(pool.size(), 0u);
  EXPECT_TRUE(ClosedInOrder(raw_.front()));
  EXPECT_TRUE(ClosedInOrder(*std::next(raw_.begin())));
  pool_.reset();
}

TEST_F(PoolTest, KeepsNoDescriptor) {
  TestIdentities::Get();
  const std::size_t before = OpenDescriptors();
  Pool& pool = Make({.max_per_key = 4});
  for (int i = 0; i < 8; ++i) pool.Put(Dial("a"));
  loop_.Settle(std::chrono::milliseconds(50));
  auto taken = pool.Take("a");
  pool.Discard(std::move(taken));
  ShutDown();
  raw_.clear();
  EXPECT_EQ(OpenDescriptors(), before);
  EXPECT_EQ(buffers_.in_use(), 0u);
}

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
