// SPDX-License-Identifier: Apache-2.0
#include "identity/schedule.h"

#include <gtest/gtest.h>

namespace tombolo::identity {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr WallTime kStart{hours(500'000)};

TEST(RenewAtTest, IsHalfOfTheLifeGiveOrTakeATenth) {
  const WallTime end = kStart + minutes(100);
  EXPECT_EQ(RenewAt(kStart, end, 0), kStart + minutes(50));
  EXPECT_EQ(RenewAt(kStart, end, -1), kStart + minutes(40));
  EXPECT_EQ(RenewAt(kStart, end, 1), kStart + minutes(60));
}

TEST(RenewAtTest, WhatHasExpiredIsDueAtOnce) {
  EXPECT_EQ(RenewAt(kStart, kStart - hours(1), 1), kStart);
}

TEST(RetryAfterTest, DoublesUpToTheLimit) {
  const Pace pace;
  EXPECT_EQ(RetryAfter(pace, 1, {}, {}, 0), seconds(1));
  EXPECT_EQ(RetryAfter(pace, 2, {}, {}, 0), seconds(2));
  EXPECT_EQ(RetryAfter(pace, 6, {}, {}, 0), seconds(32));
  EXPECT_EQ(RetryAfter(pace, 7, {}, {}, 0), minutes(1));
  EXPECT_EQ(RetryAfter(pace, 4'000'000'000, {}, {}, 0), minutes(1));
  EXPECT_EQ(RetryAfter(pace, 2, {}, {}, -1), milliseconds(1500));
  EXPECT_EQ(RetryAfter(pace, 2, {}, {}, 1), milliseconds(2500));
}

TEST(RetryAfterTest, LeavesTimeForMoreAttemptsBeforeTheEnd) {
  const Pace pace;
  EXPECT_EQ(RetryAfter(pace, 7, {}, seconds(40), 0), seconds(10));
  EXPECT_EQ(RetryAfter(pace, 7, {}, seconds(40), 1), milliseconds(7500));
  EXPECT_EQ(RetryAfter(pace, 7, {}, milliseconds(80), 1), pace.min_retry);
  // Nothing to lose.
  EXPECT_EQ(RetryAfter(pace, 7, {}, {}, 0), minutes(1));
}

TEST(RetryAfterTest, WaitsAsLongAsItWasAskedTo) {
  const Pace pace;
  EXPECT_EQ(RetryAfter(pace, 1, seconds(120), {}, 0), seconds(120));
  EXPECT_EQ(RetryAfter(pace, 1, seconds(120), {}, 1), seconds(150));
  EXPECT_EQ(RetryAfter(pace, 1, seconds(120), {}, -1), seconds(150));  // never sooner
  EXPECT_EQ(RetryAfter(pace, 7, seconds(2), {}, 0), minutes(1));
  EXPECT_EQ(RetryAfter(pace, 1, seconds(120), seconds(100), 0), seconds(25));
}

TEST(LookAfterTest, AsTheBundleSaysOrSooner) {
  EXPECT_EQ(LookAfter(minutes(5), seconds(30), 0), seconds(30));
  EXPECT_EQ(LookAfter(seconds(8), seconds(30), 0), seconds(8));
  EXPECT_EQ(LookAfter(seconds(0), seconds(30), 0), seconds(30));
  EXPECT_EQ(LookAfter(seconds(8), seconds(30), 1), seconds(6));
  EXPECT_EQ(LookAfter(seconds(8), seconds(30), -1), seconds(6));
}

TEST(ExpiresSoonTest, WithLessThanAQuarterLeft) {
  const WallTime end = kStart + minutes(100);
  EXPECT_FALSE(ExpiresSoon(kStart, end, kStart + minutes(75)));
  EXPECT_TRUE(ExpiresSoon(kStart, end, kStart + minutes(75) + milliseconds(1)));
  EXPECT_TRUE(ExpiresSoon(kStart, end, end + minutes(1)));
}

}  // namespace
}  // namespace tombolo::identity
