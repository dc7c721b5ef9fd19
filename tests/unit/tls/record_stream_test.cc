// SPDX-License-Identifier: Apache-2.0
// Records one by one: order, errors, control records, buffers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "stream_pair.h"
#include "tls/alert.h"

namespace tombolo::tls {
namespace {

using testing::Bytes;
using testing::BytesOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::InKernel;
using testing::Loop;
using ::testing::Pair;
using testing::Pattern;
using testing::StreamAndPeer;
using testing::StreamPair;
using testing::TextOf;

MonotonicTime Soon() { return After(std::chrono::seconds(30)); }
MonotonicTime Shortly() { return After(std::chrono::milliseconds(100)); }

class RecordStreamTest : public ::testing::Test {
 protected:
  Loop loop_;
  StreamAndPeer pair_{loop_};
  RecordStream& stream_ = pair_.stream();

  absl::StatusOr<Record> Receive() { return loop_.Run(stream_.Receive(Soon())); }
};

TEST_F(RecordStreamTest, ReceivesRecordsInOrder) {
  pair_.PeerSends(kApplicationData, BytesOf("one"));
  pair_.PeerSends(kControl, BytesOf("two"));
  auto record = Receive();
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->type, kApplicationData);
  EXPECT_EQ(TextOf(record->payload), "one");
  EXPECT_EQ(stream_.quiet(), InKernel());  // where the second record waits
  record = Receive();
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->type, kControl);
  EXPECT_EQ(TextOf(record->payload), "two");
  EXPECT_TRUE(stream_.quiet());
  EXPECT_EQ(stream_.usage().received, 2);
  EXPECT_EQ(pair_.pool().in_use(), 0);
}

TEST_F(RecordStreamTest, AssemblesARecordFromSingleBytes) {
  const Bytes record = pair_.Sealed(kControl, BytesOf("hello"));
  auto received = loop_.Start(stream_.Receive(Soon()));
  for (const std::uint8_t byte : record) {
    EXPECT_FALSE(received->has_value());
    pair_.PeerWrites({&byte, 1});
    loop_.Settle(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(loop_.RunUntil([&] { return received->has_value(); }));
  EXPECT_EQ(TextOf((**received)->payload), "hello");
}

TEST_F(RecordStreamTest, APartSurvivesADeadlineAndACancellation) {
  const Bytes record = pair_.Sealed(kControl, BytesOf("hello"));
  pair_.PeerWrites(absl::MakeSpan(record).first(9));
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop_.Run(stream_.Receive(Shortly())).status()));
  EXPECT_EQ(stream_.quiet(), InKernel());
  auto cancelled = loop_.Start(stream_.Receive(Soon()));
  loop_.Settle(std::chrono::milliseconds(5));
  stream_.CancelReceive();
  ASSERT_TRUE(loop_.RunUntil([&] { return cancelled->has_value(); }));
  EXPECT_TRUE(absl::IsCancelled((*cancelled)->status()));
  pair_.PeerWrites(absl::MakeSpan(record).subspan(9));
  const auto received = Receive();
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(TextOf(received->payload), "hello");
}

TEST_F(RecordStreamTest, TryReceiveNeverWaits) {
  EXPECT_EQ(ErrnoOf(stream_.TryReceive().status()), EAGAIN);
  const Bytes record = pair_.Sealed(kControl, BytesOf("ping"));
  pair_.PeerWrites(absl::MakeSpan(record).first(7));
  EXPECT_EQ(ErrnoOf(stream_.TryReceive().status()), EAGAIN);
  pair_.PeerWrites(absl::MakeSpan(record).subspan(7));
  testing::AwaitReadable(stream_.socket().get());
  const auto received = stream_.TryReceive();
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(TextOf(received->payload), "ping");
  EXPECT_EQ(pair_.pool().in_use(), 0);
}

TEST_F(RecordStreamTest, NoBufferIsHeldWhileWaiting) {
  auto received = loop_.Start(stream_.Receive(Soon()));
  loop_.Settle();
  EXPECT_EQ(pair_.pool().in_use(), 0);
  const Bytes large = Pattern(kMaxPlaintext);
  pair_.PeerSends(kApplicationData, large);
  ASSERT_TRUE(loop_.RunUntil([&] { return received->has_value(); }));
  EXPECT_EQ(Bytes((**received)->payload.begin(), (**received)->payload.end()), large);
  EXPECT_EQ(ErrnoOf(stream_.TryReceive().status()), EAGAIN);
  EXPECT_EQ(pair_.pool().in_use(), 0);
}

TEST_F(RecordStreamTest, CloseNotifyIsTheEnd) {
  pair_.PeerSends(kApplicationData, BytesOf("last"));
  pair_.PeerSends(kAlert, Bytes{1, 0});
  EXPECT_TRUE(Receive().ok());
  EXPECT_TRUE(absl::IsOutOfRange(Receive().status()));
  EXPECT_TRUE(absl::IsOutOfRange(Receive().status()));
}

TEST_F(RecordStreamTest, TheEndOfTcpIsATruncation) {
  pair_.PeerSends(kApplicationData, BytesOf("last"));
  pair_.ClosePeer();
  EXPECT_TRUE(Receive().ok());
  EXPECT_TRUE(absl::IsDataLoss(Receive().status()));
}

TEST_F(RecordStreamTest, HalfARecordIsATruncation) {
  const Bytes record = pair_.Sealed(kControl, BytesOf("hello"));
  pair_.PeerWrites(absl::MakeSpan(record).first(record.size() - 1));
  pair_.ClosePeer();
  EXPECT_TRUE(absl::IsDataLoss(Receive().status()));
  EXPECT_TRUE(absl::IsDataLoss(Receive().status()));
}

TEST_F(RecordStreamTest, AResetIsUnavailable) {
  net::ResetOnClose(pair_.peer_fd());
  pair_.ClosePeer();
  const auto received = Receive();
  EXPECT_TRUE(absl::IsUnavailable(received.status())) << received.status();
  EXPECT_EQ(ErrnoOf(received.status()), ECONNRESET);
}

TEST_F(RecordStreamTest, AnotherAlertIsARefusal) {
  pair_.PeerSends(kAlert, Bytes{2, 116});
  const auto received = Receive();
  EXPECT_TRUE(absl::IsPermissionDenied(received.status()));
  EXPECT_THAT(std::string(received.status().message()), HasSubstr("certificate_required (116)"));
}

TEST_F(RecordStreamTest, UserCanceledOnlyAnnounces) {
  pair_.PeerSends(kAlert, Bytes{1, 90});
  pair_.PeerSends(kAlert, Bytes{1, 0});
  EXPECT_TRUE(absl::IsOutOfRange(Receive().status()));
}

TEST_F(RecordStreamTest, AMalformedAlertIsAnError) {
  pair_.PeerSends(kAlert, Bytes{2});
  EXPECT_TRUE(absl::IsInvalidArgument(Receive().status()));
  EXPECT_THAT(pair_.PeerReads(1), ElementsAre(Pair(kAlert, "\x02\x32")));
}

TEST_F(RecordStreamTest, HandshakeAndUnknownRecordsAreErrors) {
  const Bytes ticket = {4, 0, 0, 1, 0};
  const Bytes two_messages = {24, 0, 0, 1, 0, 24, 0, 0, 1, 0};
  for (const auto& [type, payload] :
       {std::pair{22, ticket}, {22, two_messages}, {20, ticket}, {24, ticket}, {99, ticket}}) {
    StreamAndPeer pair(loop_);
    pair.PeerSends(static_cast<std::uint8_t>(type), payload);
    EXPECT_TRUE(absl::IsInvalidArgument(loop_.Run(pair.stream().Receive(Soon())).status()));
    EXPECT_THAT(pair.PeerReads(1), ElementsAre(Pair(kAlert, "\x02\x0a")));
    EXPECT_FALSE(loop_.Run(pair.stream().Send(BytesOf("x"), Soon())).ok());
  }
}

TEST_F(RecordStreamTest, AMalformedKeyUpdateIsAnError) {
  pair_.PeerSends(kHandshake, Bytes{24, 0, 0, 1, 2});
  EXPECT_TRUE(absl::IsInvalidArgument(Receive().status()));
  const int alert = stream_.can_rekey() ? kIllegalParameter : kUnexpectedMessage;
  EXPECT_THAT(pair_.PeerReads(), ElementsAre(Pair(kAlert, std::string{2, char(alert)})));
}

TEST_F(RecordStreamTest, KeysChangeBothWaysBetweenBatches) {
  StreamPair pair(loop_);
  if (!pair.client->can_rekey()) GTEST_SKIP() << "this kernel cannot change keys (Linux 6.14)";
  pair.client->RekeyEvery(3);
  pair.server->RekeyEvery(5);
  const Bytes data = Pattern(100'000);
  for (int round = 0; round < 20; ++round) {
    for (auto [from, to] : {std::pair{pair.client.get(), pair.server.get()},
                            {pair.server.get(), pair.client.get()}}) {
      ASSERT_TRUE(loop_.Run(from->SendControl(BytesOf("before"), Soon())).ok());
      ASSERT_TRUE(loop_.Run(from->Send(data, Soon())).ok());
      auto record = loop_.Run(to->Receive(Soon()));
      ASSERT_TRUE(record.ok()) << record.status();
      EXPECT_EQ(TextOf(record->payload), "before");
      Bytes got;
      while (got.size() < data.size()) {
        record = loop_.Run(to->Receive(Soon()));
        ASSERT_TRUE(record.ok()) << record.status();
        got.insert(got.end(), record->payload.begin(), record->payload.end());
      }
      EXPECT_EQ(got, data);
      EXPECT_LT(from->usage().sent, 20);
    }
  }
}

TEST_F(RecordStreamTest, ABadMacIsAnswered) {
  Bytes record = pair_.Sealed(kApplicationData, BytesOf("hello"));
  record[8] ^= 1;
  pair_.PeerWrites(record);
  EXPECT_TRUE(absl::IsInvalidArgument(Receive().status()));
  EXPECT_THAT(pair_.PeerReads(1), ElementsAre(Pair(kAlert, "\x02\x14")));
  EXPECT_TRUE(absl::IsInvalidArgument(Receive().status()));
}

TEST_F(RecordStreamTest, UnprotectedBytesAreErrors) {
  pair_.PeerWrites(BytesOf("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(absl::IsInvalidArgument(Receive().status()));
}

TEST_F(RecordStreamTest, SkipsEmptyRecordsButNotEndlessly) {
  for (int i = 0; i < 64; ++i) pair_.PeerSends(kApplicationData, {});
  pair_.PeerSends(kApplicationData, BytesOf("x"));
  EXPECT_TRUE(Receive().ok());
  if (InKernel()) return;  // it skips them by itself
  for (int i = 0; i < 65; ++i) pair_.PeerSends(kApplicationData, {});
  EXPECT_TRUE(absl::IsInvalidArgument(Receive().status()));
}

TEST_F(RecordStreamTest, SendsAtEverySize) {
  for (const std::size_t size : {1, 16383, 16384, 16385}) {
    const Bytes data = Pattern(size);
    ASSERT_TRUE(loop_.Run(stream_.Send(data, Soon())).ok());
    std::string got;
    for (const auto& [type, payload] : pair_.PeerReads((size - 1) / kMaxPlaintext + 1)) {
      EXPECT_EQ(type, kApplicationData);
      EXPECT_LE(payload.size(), kMaxPlaintext);
      got += payload;
    }
    EXPECT_EQ(got, TextOf(data));
  }
  EXPECT_EQ(pair_.pool().in_use(), 0);
  EXPECT_TRUE(stream_.quiet());
}

TEST_F(RecordStreamTest, SendingNothingSendsNothing) {
  EXPECT_TRUE(loop_.Run(stream_.Send({}, Soon())).ok());
  EXPECT_EQ(stream_.usage().sent, 0);
}

TEST_F(RecordStreamTest, SendsControlAndCloseNotify) {
  ASSERT_TRUE(loop_.Run(stream_.Send(BytesOf("data"), Soon())).ok());
  ASSERT_TRUE(loop_.Run(stream_.SendControl(BytesOf("end"), Soon())).ok());
  loop_.Run(stream_.CloseNotify(Soon()));
  EXPECT_THAT(pair_.PeerReads(3), ElementsAre(Pair(kApplicationData, "data"), Pair(kControl, "end"),
                                              Pair(kAlert, std::string("\x01\x00", 2))));
  testing::AwaitReadable(pair_.peer_fd());
  char byte;
  EXPECT_EQ(recv(pair_.peer_fd(), &byte, 1, 0), 0);
  EXPECT_FALSE(loop_.Run(stream_.Send(BytesOf("x"), Soon())).ok());
}

TEST_F(RecordStreamTest, RefusesLongControl) {
  EXPECT_TRUE(loop_.Run(stream_.SendControl(Bytes(4096, 1), Soon())).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(loop_.Run(stream_.SendControl(Bytes(4097, 1), Soon()))));
}

// While a large batch is stuck, control messages queue up to 64 KiB and follow
// the batch that was being written; nobody is interleaved.
TEST_F(RecordStreamTest, ControlQueuesBehindABatch) {
  const Bytes data = Pattern(16 << 20);
  auto sent = loop_.Start(stream_.Send(data, Soon()));
  loop_.Settle();
  ASSERT_FALSE(sent->has_value());
  int queued = 0;
  absl::Status status;
  while ((status = loop_.Run(stream_.SendControl(Bytes(4096, 'c'), Soon()))).ok()) ++queued;
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(queued, 15);
  EXPECT_FALSE(stream_.quiet());
  std::string application;
  int control = 0;
  ASSERT_TRUE(loop_.RunUntil([&] {
    for (const auto& [type, payload] : pair_.PeerReads()) {
      if (type == kControl) ++control;
      if (type == kApplicationData) application += payload;
    }
    return sent->has_value() && application.size() >= data.size();
  }));
  EXPECT_TRUE((**sent).ok()) << **sent;
  EXPECT_EQ(control, 15);
  EXPECT_EQ(application, TextOf(data));
  EXPECT_TRUE(stream_.quiet());
}

// Two writers that wait at once: the control writer is stuck, the sender and the
// closer wait for it, and each goes in its turn.
TEST_F(RecordStreamTest, WritersWaitForEachOther) {
  const Bytes data = Pattern(8 << 20);
  auto flood = loop_.Start(stream_.Send(data, Soon()));
  loop_.Settle();
  auto second = loop_.Start(stream_.Send(BytesOf("second"), Soon()));
  auto impatient = loop_.Start(stream_.Send(BytesOf("third"), Shortly()));
  ASSERT_TRUE(loop_.RunUntil([&] { return impatient->has_value(); }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(**impatient));
  std::string all;
  ASSERT_TRUE(loop_.RunUntil([&] {
    for (const auto& [type, payload] : pair_.PeerReads()) all += payload;
    return second->has_value() && all.size() >= data.size() + 6;
  }));
  EXPECT_TRUE((**second).ok());
  EXPECT_EQ(all.size(), (8u << 20) + 6);
  EXPECT_EQ(all.substr(all.size() - 6), "second");
}

TEST_F(RecordStreamTest, AWriteThatTimesOutEndsTheSendingSide) {
  const Bytes data = Pattern(16 << 20);
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop_.Run(stream_.Send(data, Shortly()))));
  EXPECT_FALSE(loop_.Run(stream_.SendControl(BytesOf("x"), Soon())).ok());
  EXPECT_EQ(pair_.pool().in_use(), 0);
}

TEST_F(RecordStreamTest, ABrokenPipeIsUnavailable) {
  net::ResetOnClose(pair_.peer_fd());
  pair_.ClosePeer();
  loop_.Settle();
  EXPECT_TRUE(absl::IsUnavailable(loop_.Run(stream_.Send(BytesOf("x"), Soon()))));
}

TEST(RecordBudgetTest, IsNeverCarriedOn) {
  Loop loop;
  StreamAndPeer pair(loop, kRecordBudget - 2);
  RecordStream& stream = pair.stream();
  EXPECT_TRUE(loop.Run(stream.Send(BytesOf("a"), Soon())).ok());
  EXPECT_TRUE(loop.Run(stream.SendControl(BytesOf("b"), Soon())).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(loop.Run(stream.Send(BytesOf("c"), Soon()))));
  // The end can still be said.
  EXPECT_TRUE(loop.Run(stream.SendControl(BytesOf("reset"), Soon())).ok());
  loop.Run(stream.CloseNotify(Soon()));
  EXPECT_EQ(stream.usage().sent, kRecordBudget + 2);
}

}  // namespace
}  // namespace tombolo::tls
