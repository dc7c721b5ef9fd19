// SPDX-License-Identifier: Apache-2.0
#include "link/refill.h"

#include <gtest/gtest.h>

namespace tombolo::link {
namespace {

using std::chrono::seconds;

class RefillTest : public ::testing::Test {
 protected:
  void Take(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) refill_.Took(now_);
  }
  MonotonicTime now_{std::chrono::hours(1)};
  Refill refill_{1000};
};

TEST_F(RefillTest, AFewAreKeptWithoutUse) { EXPECT_EQ(refill_.Wanted(now_), Refill::kLeast); }

TEST_F(RefillTest, TwiceWhatTheBusiestSecondTook) {
  Take(10);
  EXPECT_EQ(refill_.Wanted(now_), Refill::kLeast + 20);
  now_ += seconds(1);
  Take(3);
  EXPECT_EQ(refill_.Wanted(now_), Refill::kLeast + 20);
  now_ += seconds(1);
  Take(30);
  EXPECT_EQ(refill_.Wanted(now_), Refill::kLeast + 60);
}

TEST_F(RefillTest, WhatIsLongAgoIsForgotten) {
  Take(10);
  now_ += seconds(5);
  Take(2);
  now_ += seconds(4);
  EXPECT_EQ(refill_.Wanted(now_), Refill::kLeast + 20);
  now_ += seconds(1);
  EXPECT_EQ(refill_.Wanted(now_), Refill::kLeast + 4);
  now_ += seconds(100);
  EXPECT_EQ(refill_.Wanted(now_), Refill::kLeast);
  Take(1);  // where the first ten were
  EXPECT_EQ(refill_.Wanted(now_), Refill::kLeast + 2);
}

TEST_F(RefillTest, IsAheadOfUseThatDoublesEverySecond) {
  std::uint32_t stock = Refill::kLeast, use = 2;
  for (int second = 0; second < 7; ++second) {
    ASSERT_LE(use, stock) << "second " << second;
    Take(use);
    stock = refill_.Wanted(now_);  // what was ordered has come when the second is over
    now_ += seconds(1);
    use *= 2;
  }
}

TEST_F(RefillTest, BothSidesBoundIt) {
  Take(5000);
  EXPECT_EQ(refill_.Wanted(now_), Refill::kMost);
  refill_.SetMost(7);
  EXPECT_EQ(refill_.Wanted(now_), 7u);
  refill_.SetMost(0);
  EXPECT_EQ(refill_.Wanted(now_), 0u);
}

}  // namespace
}  // namespace tombolo::link
