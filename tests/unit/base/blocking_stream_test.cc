// SPDX-License-Identifier: Apache-2.0
#include "base/blocking_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/fd.h"
#include "base/resolve.h"
#include "testing/loopback_listener.h"

namespace tombolo {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class BlockingStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto stream = ConnectTcp("127.0.0.1", listener_.port(), After(seconds(5)));
    ASSERT_TRUE(stream.ok()) << stream.status();
    stream_ = *std::move(stream);
    peer_ = listener_.Accept();
  }

  absl::StatusOr<std::string> Receive(Duration limit) {
    std::array<char, 100> part;
    const auto got = stream_->Receive(absl::MakeSpan(part), After(limit));
    if (!got.ok()) return got.status();
    return std::string(part.data(), *got);
  }

  const testing::LoopbackListener listener_;
  std::unique_ptr<BlockingStream> stream_;
  Fd peer_;
};

TEST_F(BlockingStreamTest, CarriesBothWays) {
  ASSERT_TRUE(stream_->Send("question", After(seconds(5))).ok());
  std::array<char, 100> part;
  EXPECT_EQ(recv(peer_.get(), part.data(), part.size(), 0), 8);
  ASSERT_EQ(send(peer_.get(), "answer", 6, 0), 6);
  EXPECT_EQ(*Receive(seconds(5)), "answer");
  peer_.Close();
  EXPECT_EQ(*Receive(seconds(5)), "");
}

TEST_F(BlockingStreamTest, SegmentsFitEveryPath) {
  int largest = 0;
  socklen_t size = sizeof(largest);
  ASSERT_EQ(getsockopt(peer_.get(), IPPROTO_TCP, TCP_MAXSEG, &largest, &size), 0);
  EXPECT_LE(largest, 1220);
  EXPECT_GE(largest, 1000);
}

TEST_F(BlockingStreamTest, WaitsUntilTheDeadline) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(Receive(milliseconds(50)).status()));
  const std::string much(64 << 20, 'x');  // more than the kernel keeps
  EXPECT_TRUE(absl::IsDeadlineExceeded(stream_->Send(much, After(milliseconds(50)))));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(100));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(5));
}

TEST_F(BlockingStreamTest, IsQuietUntilThePeerSaysSomething) {
  EXPECT_TRUE(stream_->Quiet());
  ASSERT_EQ(send(peer_.get(), "x", 1, 0), 1);
  while (stream_->Quiet()) continue;
  EXPECT_EQ(*Receive(seconds(5)), "x");
  EXPECT_TRUE(stream_->Quiet());
  peer_.Close();
  while (stream_->Quiet()) continue;
}

TEST_F(BlockingStreamTest, APeerThatResetsIsAnError) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(setsockopt(peer_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
  peer_.Close();
  EXPECT_TRUE(absl::IsUnavailable(Receive(seconds(5)).status()));
  EXPECT_TRUE(absl::IsUnavailable(stream_->Send("x", After(seconds(5)))));
}

TEST_F(BlockingStreamTest, NobodyListens) {
  EXPECT_TRUE(absl::IsUnavailable(ConnectTcp("127.0.0.1", 1, After(seconds(5))).status()));
}

TEST(ResolveTest, FindsNumbersAndNames) {
  const auto numeric = Resolve("::1", 80, After(seconds(5)));
  ASSERT_TRUE(numeric.ok()) << numeric.status();
  ASSERT_EQ(numeric->size(), 1);
  EXPECT_EQ((*numeric)[0].storage.ss_family, AF_INET6);
  const auto named = Resolve("localhost", 80, After(seconds(5)));
  ASSERT_TRUE(named.ok()) << named.status();
}

TEST(ResolveTest, DoesNotWaitForTheResolver) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(Resolve("no-such-host.invalid", 80, After(milliseconds(200))).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2));
}

}  // namespace
}  // namespace tombolo
