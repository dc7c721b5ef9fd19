// SPDX-License-Identifier: Apache-2.0
// SendFrom and ReceiveTo: application sockets on both sides of two streams.
#include <netinet/tcp.h>

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "stream_pair.h"
#include "tls/alert.h"
#include "tls/arrival.h"

namespace tombolo::tls {
namespace {

using testing::Bytes;
using testing::BytesOf;
using ::testing::ElementsAre;
using testing::Loop;
using ::testing::Pair;
using testing::Pattern;
using testing::ReceiveTo;
using testing::SendFrom;
using testing::StreamAndPeer;
using testing::StreamPair;
using testing::TcpPair;
using testing::TextOf;

MonotonicTime Soon() { return After(std::chrono::seconds(30)); }

// An application's end of a socket, and the agent's.
struct Application {
  explicit Application(Loop& loop) {
    auto [mine, theirs] = TcpPair();
    fd = std::move(mine);
    plain = loop.Adopt(std::move(theirs));
  }
  // As much of data[*done..] as the socket takes.
  void Write(const Bytes& data, std::size_t* done) const {
    const ssize_t put =
        send(fd.get(), data.data() + *done, data.size() - *done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put > 0) *done += static_cast<std::size_t>(put);
  }
  // At most `limit` bytes of what is there; true at the end of the stream.
  bool Read(std::string* all, std::size_t limit) const {
    Bytes part(limit);
    const ssize_t got = recv(fd.get(), part.data(), part.size(), MSG_DONTWAIT);
    if (got > 0) all->append(part.begin(), part.begin() + got);
    return got == 0;
  }
  Fd fd;
  net::AsyncFd plain;
};

// Until the application ends its stream, which "end" then says.
Awaitable<absl::Status> SendAll(RecordStream& stream, net::AsyncFd& plain) {
  for (;;) {
    CO_ASSIGN_OR_RETURN(const std::size_t moved, co_await SendFrom(stream, plain));
    if (moved == 0) co_return co_await stream.SendControl(BytesOf("end"), Soon());
  }
}

Awaitable<absl::StatusOr<std::string>> ReceiveAll(RecordStream& stream, net::AsyncFd& plain,
                                                  std::uint64_t& moved) {
  CO_ASSIGN_OR_RETURN(const Record record, co_await ReceiveTo(stream, plain, moved));
  shutdown(plain.get(), SHUT_WR);
  co_return TextOf(record.payload);
}

class RecordMoveTest : public ::testing::Test {
 protected:
  Loop loop_;
  StreamPair pair_{loop_};
  Application near_{loop_};
  Application far_{loop_};
};

TEST_F(RecordMoveTest, MovesBothWaysByteExactWithHalfClose) {
  const Bytes up = Pattern(5'000'003);
  const Bytes down = Pattern(3'000'001);
  std::uint64_t moved_up = 0;
  std::uint64_t moved_down = 0;
  auto a = loop_.Start(SendAll(*pair_.client, near_.plain));
  auto b = loop_.Start(ReceiveAll(*pair_.server, far_.plain, moved_up));
  auto c = loop_.Start(SendAll(*pair_.server, far_.plain));
  auto d = loop_.Start(ReceiveAll(*pair_.client, near_.plain, moved_down));
  std::size_t put_up = 0;
  std::size_t put_down = 0;
  std::string got_up;
  std::string got_down;
  bool end_up = false;
  bool end_down = false;
  ASSERT_TRUE(loop_.RunUntil([&] {
    near_.Write(up, &put_up);
    if (put_up == up.size()) shutdown(near_.fd.get(), SHUT_WR);
    end_up = end_up || far_.Read(&got_up, 1 << 20);
    // The other direction begins after this one has ended: a half-close.
    if (end_up) far_.Write(down, &put_down);
    if (put_down == down.size()) shutdown(far_.fd.get(), SHUT_WR);
    end_down = end_down || near_.Read(&got_down, 1 << 20);
    return end_up && end_down;
  }));
  EXPECT_EQ(got_up, TextOf(up));
  EXPECT_EQ(got_down, TextOf(down));
  EXPECT_EQ(moved_up, up.size());
  EXPECT_EQ(moved_down, down.size());
  EXPECT_TRUE((**a).ok() && (**c).ok());
  EXPECT_EQ(***b, "end");
  EXPECT_EQ(***d, "end");
  EXPECT_TRUE(pair_.client->quiet() && pair_.server->quiet());
  EXPECT_EQ(pair_.pool.in_use(), 0);
}

TEST_F(RecordMoveTest, ASlowReaderLosesNothing) {
  const Bytes data = Pattern(700'001);
  std::uint64_t moved = 0;
  auto sent = loop_.Start(SendAll(*pair_.client, near_.plain));
  auto received = loop_.Start(ReceiveAll(*pair_.server, far_.plain, moved));
  std::size_t put = 0;
  std::string got;
  ASSERT_TRUE(loop_.RunUntil([&] {
    near_.Write(data, &put);
    if (put == data.size()) shutdown(near_.fd.get(), SHUT_WR);
    return far_.Read(&got, 1777);
  }));
  EXPECT_EQ(got, TextOf(data));
}

// An application that does not read stops the one that writes; what is between
// them is what the sockets hold and two buffers.
TEST_F(RecordMoveTest, BackpressureReachesTheSender) {
  const Bytes chunk = Pattern(1 << 20);
  std::uint64_t moved = 0;
  auto sent = loop_.Start(SendAll(*pair_.client, near_.plain));
  auto received = loop_.Start(ReceiveAll(*pair_.server, far_.plain, moved));
  std::size_t total = 0;
  std::size_t last = 1;
  for (int round = 0; round < 200 && last != total; ++round) {
    last = total;
    for (std::size_t put = 0, before = 1; put != before && put < chunk.size();) {
      before = put;
      near_.Write(chunk, &put);
      total += put - before;
    }
    loop_.Settle();
  }
  EXPECT_EQ(last, total) << "the writer was never stopped";
  EXPECT_LE(pair_.pool.in_use(), 2);
  EXPECT_FALSE(received->has_value());
  EXPECT_LT(moved, total);
  // It goes on when the reader does.
  std::string got;
  shutdown(near_.fd.get(), SHUT_WR);
  ASSERT_TRUE(loop_.RunUntil([&] { return far_.Read(&got, 1 << 20); }));
  EXPECT_EQ(got.size(), total);
}

TEST_F(RecordMoveTest, IdleMovesHoldNoBuffers) {
  std::uint64_t moved = 0;
  auto sent = loop_.Start(SendAll(*pair_.client, near_.plain));
  auto received = loop_.Start(ReceiveAll(*pair_.server, far_.plain, moved));
  std::size_t put = 0;
  near_.Write(Pattern(100), &put);
  std::string got;
  ASSERT_TRUE(loop_.RunUntil([&] {
    far_.Read(&got, 1000);
    return got.size() == 100;
  }));
  loop_.Settle();
  EXPECT_EQ(pair_.pool.in_use(), 0);
  EXPECT_TRUE(pair_.server->quiet());
  EXPECT_EQ(pair_.client->usage().sent, 1) << "a small read makes one record";
  shutdown(near_.fd.get(), SHUT_WR);  // a coroutine that waits for ever is never freed
  ASSERT_TRUE(loop_.RunUntil([&] { return sent->has_value() && received->has_value(); }));
}

TEST_F(RecordMoveTest, ControlRecordsDivideTheData) {
  std::uint64_t moved = 0;
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(loop_.Run(pair_.client->Send(BytesOf(absl::StrCat(i, " ")), Soon())).ok());
  }
  ASSERT_TRUE(loop_.Run(pair_.client->SendControl(BytesOf("one"), Soon())).ok());
  ASSERT_TRUE(loop_.Run(pair_.client->SendControl(BytesOf("two"), Soon())).ok());
  ASSERT_TRUE(loop_.Run(pair_.client->Send(BytesOf("after"), Soon())).ok());
  loop_.Run(pair_.client->CloseNotify(Soon()));
  auto record = loop_.Run(ReceiveTo(*pair_.server, far_.plain, moved));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(TextOf(record->payload), "one");
  std::string got;
  far_.Read(&got, 1 << 20);
  std::string expected;
  for (int i = 0; i < 300; ++i) absl::StrAppend(&expected, i, " ");
  EXPECT_EQ(got, expected);
  record = loop_.Run(ReceiveTo(*pair_.server, far_.plain, moved));
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(TextOf(record->payload), "two");
  EXPECT_EQ(moved, expected.size());
  // What came before the end is delivered before the end is reported.
  record = loop_.Run(ReceiveTo(*pair_.server, far_.plain, moved));
  EXPECT_TRUE(absl::IsOutOfRange(record.status()));
  got.clear();
  far_.Read(&got, 100);
  EXPECT_EQ(got, "after");
}

TEST_F(RecordMoveTest, ADeadApplicationAbortsAndTheTunnelLives) {
  std::uint64_t moved = 0;
  net::ResetOnClose(far_.fd.get());
  far_.fd.Close();
  loop_.Settle();
  ASSERT_TRUE(loop_.Run(pair_.client->Send(Pattern(50'000), Soon())).ok());
  ASSERT_TRUE(loop_.Run(pair_.client->SendControl(BytesOf("later"), Soon())).ok());
  auto record = loop_.Run(ReceiveTo(*pair_.server, far_.plain, moved));
  EXPECT_TRUE(absl::IsAborted(record.status())) << record.status();
  EXPECT_NE(ErrnoOf(record.status()), 0);
  do {
    record = loop_.Run(pair_.server->Receive(Soon()));
    ASSERT_TRUE(record.ok()) << record.status();
  } while (record->type == kApplicationData);
  EXPECT_EQ(TextOf(record->payload), "later");
}

TEST_F(RecordMoveTest, AResetByTheApplicationAbortsAndTheTunnelLives) {
  net::ResetOnClose(near_.fd.get());
  near_.fd.Close();
  const auto moved = loop_.Run(SendFrom(*pair_.client, near_.plain));
  EXPECT_TRUE(absl::IsAborted(moved.status())) << moved.status();
  EXPECT_EQ(ErrnoOf(moved.status()), ECONNRESET);
  EXPECT_TRUE(loop_.Run(pair_.client->SendControl(BytesOf("reset"), Soon())).ok());
  EXPECT_EQ(TextOf(loop_.Run(pair_.server->Receive(Soon()))->payload), "reset");
}

TEST_F(RecordMoveTest, CancellingLosesNothing) {
  std::uint64_t moved = 0;
  auto received = loop_.Start(ReceiveTo(*pair_.server, far_.plain, moved));
  loop_.Settle();
  pair_.server->CancelReceive();
  ASSERT_TRUE(loop_.RunUntil([&] { return received->has_value(); }));
  EXPECT_TRUE(absl::IsCancelled((*received)->status()));
  auto sending = loop_.Start(SendFrom(*pair_.client, near_.plain));
  loop_.Settle();
  near_.plain.CancelRead();
  ASSERT_TRUE(loop_.RunUntil([&] { return sending->has_value(); }));
  EXPECT_TRUE(absl::IsCancelled((*sending)->status()));
  ASSERT_TRUE(loop_.Run(pair_.client->Send(BytesOf("still"), Soon())).ok());
  EXPECT_EQ(TextOf(loop_.Run(pair_.server->Receive(Soon()))->payload), "still");
}

// The plain socket is closed under a blocked ReceiveTo: what it had opened and
// not delivered comes from Receive().
TEST_F(RecordMoveTest, ABlockedMoveCanBeEnded) {
  const Bytes data = Pattern(24 << 20);
  auto sent = loop_.Start(pair_.client->Send(data, Soon()));
  std::uint64_t moved = 0;
  auto received = loop_.Start(ReceiveTo(*pair_.server, far_.plain, moved));
  // Until nothing fits any more.
  for (std::uint64_t before = ~moved; before != moved;) {
    before = moved;
    loop_.Settle(std::chrono::milliseconds(300));
  }
  ASSERT_FALSE(received->has_value());
  far_.plain.Close();
  ASSERT_TRUE(loop_.RunUntil([&] { return received->has_value(); }));
  EXPECT_TRUE(absl::IsCancelled((*received)->status())) << (*received)->status();
  std::uint64_t rest = 0;
  Bytes tail;
  while (moved + rest < data.size()) {
    const auto record = loop_.Run(pair_.server->Receive(Soon()));
    ASSERT_TRUE(record.ok()) << record.status();
    const std::size_t at = moved + rest;
    ASSERT_TRUE(std::equal(record->payload.begin(), record->payload.end(), data.begin() + at));
    rest += record->payload.size();
  }
  EXPECT_TRUE(loop_.RunUntil([&] { return sent->has_value(); }));
}

// Data, then something that ends the stream in the middle of it: what came before is
// delivered, the rest is not, and the peer learns what it did wrong.
class RecordMidstreamTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kBefore = 100'000;

  // Moves kBefore bytes, one record of `type`, and more data behind it.
  absl::Status MoveWith(std::uint8_t type, absl::Span<const std::uint8_t> payload) {
    const Bytes data = Pattern(kBefore);
    std::uint64_t moved = 0;
    auto received = loop_.Start(ReceiveTo(pair_.stream(), application_.plain, moved));
    for (std::size_t done = 0; done < data.size(); done += kMaxPlaintext) {
      pair_.PeerSends(kApplicationData, absl::MakeSpan(data).subspan(done, kMaxPlaintext));
    }
    pair_.PeerSends(type, payload);
    pair_.PeerSends(kApplicationData, BytesOf("behind"));
    std::string got;
    EXPECT_TRUE(loop_.RunUntil([&] {
      application_.Read(&got, 1 << 20);
      return received->has_value();
    }));
    while (got.size() < moved) application_.Read(&got, 1 << 20);
    EXPECT_EQ(got, TextOf(data));
    EXPECT_EQ(moved, kBefore);
    return (*received)->status();
  }

  Loop loop_;
  StreamAndPeer pair_{loop_};
  Application application_{loop_};
};

TEST_F(RecordMidstreamTest, ATicketIsAnError) {
  EXPECT_TRUE(absl::IsInvalidArgument(MoveWith(kHandshake, Bytes{4, 0, 0, 1, 0})));
  EXPECT_THAT(pair_.PeerReads(1), ElementsAre(Pair(kAlert, "\x02\x0a")));
}

TEST_F(RecordMidstreamTest, AKeyUpdateIsAnErrorWhereKeysCannotChange) {
  const absl::Status status = MoveWith(kHandshake, kKeyUpdateMessage);
  // Where they can, what is behind it is under the wrong key.
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  const char alert = pair_.stream().can_rekey() ? kBadRecordMac : kUnexpectedMessage;
  EXPECT_THAT(pair_.PeerReads(1), ElementsAre(Pair(kAlert, std::string{2, alert})));
}

TEST_F(RecordMidstreamTest, AnAlertIsARefusal) {
  EXPECT_TRUE(absl::IsPermissionDenied(MoveWith(kAlert, Bytes{2, 48})));
}

TEST_F(RecordMidstreamTest, CloseNotifyIsTheEnd) {
  EXPECT_TRUE(absl::IsOutOfRange(MoveWith(kAlert, Bytes{1, 0})));
}

TEST_F(RecordMidstreamTest, TheEndOfTcpIsATruncation) {
  const Bytes data = Pattern(kBefore);
  std::uint64_t moved = 0;
  for (std::size_t done = 0; done < data.size(); done += kMaxPlaintext) {
    pair_.PeerSends(kApplicationData, absl::MakeSpan(data).subspan(done, kMaxPlaintext));
  }
  pair_.ClosePeer();
  const auto record = loop_.Run(ReceiveTo(pair_.stream(), application_.plain, moved));
  EXPECT_TRUE(absl::IsDataLoss(record.status())) << record.status();
  EXPECT_EQ(moved, kBefore);
}

TEST(RecordMoveBudgetTest, ReadsNothingThatItCannotSend) {
  Loop loop;
  StreamAndPeer pair(loop, kRecordBudget - 1);
  Application application(loop);
  std::size_t put = 0;
  application.Write(Pattern(40'000), &put);
  ASSERT_EQ(put, 40'000);
  EXPECT_EQ(*loop.Run(SendFrom(pair.stream(), application.plain)), kMaxPlaintext);
  EXPECT_TRUE(
      absl::IsResourceExhausted(loop.Run(SendFrom(pair.stream(), application.plain)).status()));
  Bytes left(40'000);
  EXPECT_EQ(recv(application.plain.get(), left.data(), left.size(), 0), 40'000 - kMaxPlaintext);
  // Why it ends can still be said.
  EXPECT_TRUE(loop.Run(pair.stream().SendControl(BytesOf("why"), Soon())).ok());
}

}  // namespace
}  // namespace tombolo::tls
