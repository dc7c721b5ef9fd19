// SPDX-License-Identifier: Apache-2.0
#include "server/deadline.h"

#include <chrono>
#include <optional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include "net/socket.h"

namespace tombolo::ca::https {
namespace {

using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::seconds;

class DeadlineTest : public ::testing::Test {
 protected:
  DeadlineTest() {
    auto [near, far] = *net::LoopbackPair();
    near_.assign(tcp::v4(), near.Release());
    far_.assign(tcp::v4(), far.Release());
  }
  void StartRead() {
    near_.async_read_some(asio::buffer(&byte_, 1),
                          [this](error_code error, std::size_t) { read_ = error; });
  }
  void RunUntilRead() {
    io_.restart();
    while (!read_ && io_.run_one_for(seconds(30)) > 0) {
    }
  }
  void RunFor(milliseconds time) {
    asio::steady_timer timer(io_, time);
    bool over = false;
    timer.async_wait([&](error_code) { over = true; });
    io_.restart();
    while (!over) io_.run_one();
  }

  asio::io_context io_{1};
  tcp::socket near_{io_}, far_{io_};
  char byte_ = 0;
  std::optional<error_code> read_;
};

TEST_F(DeadlineTest, EndsWhatWaitsAndLeavesTheSocketOpen) {
  Deadline deadline(near_);
  deadline.Set(milliseconds(1));
  EXPECT_FALSE(deadline.passed());
  StartRead();
  RunUntilRead();
  EXPECT_EQ(read_, error_code(asio::error::operation_aborted));
  EXPECT_TRUE(deadline.passed());
  deadline.Clear();
  EXPECT_FALSE(deadline.passed());
  EXPECT_EQ(asio::write(near_, asio::buffer("x", 1)), 1U);
}

TEST_F(DeadlineTest, EndsWhatBeginsWhenItHasPassed) {
  Deadline deadline(near_);
  deadline.Set(Duration::zero());
  RunFor(milliseconds(1));
  while (!deadline.passed()) io_.run_one();
  StartRead();
  RunUntilRead();
  EXPECT_EQ(read_, error_code(asio::error::operation_aborted));
}

TEST_F(DeadlineTest, OneThatIsClearedOrReplacedEndsNothing) {
  Deadline deadline(near_);
  deadline.Set(Duration::zero());
  deadline.Clear();
  deadline.Set(Duration::zero());
  deadline.Set(std::chrono::minutes(1));
  StartRead();
  RunFor(milliseconds(50));
  EXPECT_FALSE(read_);
  EXPECT_FALSE(deadline.passed());
  asio::write(far_, asio::buffer("x", 1));
  RunUntilRead();
  EXPECT_EQ(read_, error_code());
}

TEST_F(DeadlineTest, MayGoWhileItExpires) {
  {
    Deadline deadline(near_);
    deadline.Set(Duration::zero());
    RunFor(milliseconds(1));
    deadline.Set(Duration::zero());
  }
  StartRead();
  RunFor(milliseconds(50));
  EXPECT_FALSE(read_);
}

}  // namespace
}  // namespace tombolo::ca::https
