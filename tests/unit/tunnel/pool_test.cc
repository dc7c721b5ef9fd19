// SPDX-License-Identifier: Apache-2.0
#include "tunnel/pool.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "unit/tunnel/pool_case.h"

namespace tombolo::tunnel {
namespace {

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

}  // namespace
}  // namespace tombolo::tunnel
