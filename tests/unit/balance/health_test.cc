// SPDX-License-Identifier: Apache-2.0
#include "balance/health.h"

#include <chrono>

#include <gtest/gtest.h>

#include "balance/round_trip.h"

namespace tombolo::balance {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class HealthTest : public testing::Test {
 protected:
  bool Fail() {
    now_ += milliseconds(1);
    return health_.OnFailure(now_, now_);
  }
  void FailTimes(int times) {
    for (int i = 0; i < times; ++i) Fail();
  }

  Health health_;
  MonotonicTime now_{std::chrono::hours(1)};
};

TEST_F(HealthTest, ComesBackByATrial) {
  FailTimes(5);
  EXPECT_TRUE(health_.ejected());
  EXPECT_FALSE(health_.OnTrial(now_));
  now_ += seconds(1);
  EXPECT_EQ(health_.EjectedFor(now_), Duration{});
  EXPECT_TRUE(health_.ejected());  // until it has shown that it works
  EXPECT_TRUE(health_.WantsTrial(now_));
  health_.BeginTrial();
  EXPECT_FALSE(health_.WantsTrial(now_));  // one at a time
  health_.EndTrial();
  EXPECT_TRUE(health_.OnSuccess(now_));
  EXPECT_FALSE(health_.ejected());
}

TEST_F(HealthTest, StartsSlowlyWhenItIsBack) {
  EXPECT_EQ(health_.Warmth(now_), 1);
  EXPECT_FALSE(health_.OnSuccess(now_));
  EXPECT_EQ(health_.Warmth(now_), 1);
  FailTimes(5);
  health_.OnSuccess(now_);
  EXPECT_NEAR(health_.Warmth(now_), 0.1, 0.001);
  now_ += kSlowStart / 2;
  EXPECT_NEAR(health_.Warmth(now_), 0.5, 0.001);
  now_ += kSlowStart / 2;
  EXPECT_EQ(health_.Warmth(now_), 1);
}

TEST_F(HealthTest, FailuresWhileItIsEjectedDoNotMakeItLonger) {
  FailTimes(5);
  const Duration left = health_.EjectedFor(now_);
  EXPECT_FALSE(Fail());  // went there because nothing else was left
  EXPECT_EQ(health_.EjectedFor(now_), left - milliseconds(1));
}

TEST_F(HealthTest, WhatIsKnownToBeDeadIsEjectedAtOnce) {
  EXPECT_TRUE(health_.Eject(now_));
  EXPECT_EQ(health_.EjectedFor(now_), seconds(1));
  EXPECT_FALSE(health_.Eject(now_));  // known
  now_ += seconds(1);
  EXPECT_TRUE(health_.Eject(now_));
  EXPECT_EQ(health_.EjectedFor(now_), seconds(2));
}

TEST_F(HealthTest, CountsWithoutEjecting) {
  for (int i = 0; i < 20; ++i) {
    now_ += milliseconds(1);
    EXPECT_FALSE(health_.OnFailure(now_, now_, /*can_eject=*/false));
  }
  EXPECT_FALSE(health_.ejected());
  EXPECT_TRUE(Fail());
}

// Whoever takes connections only to reset them looks well to every try.
TEST_F(HealthTest, ResetsCountUntilThereIsAnAnswer) {
  const auto take_and_reset = [&] {
    health_.OnSuccess(now_);
    now_ += milliseconds(1);
    return health_.OnReset(now_, now_);
  };
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(take_and_reset());
  health_.OnAnswer();
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(take_and_reset());
  EXPECT_FALSE(health_.ejected());
  EXPECT_TRUE(take_and_reset());
  EXPECT_EQ(health_.EjectedFor(now_), seconds(1));
  EXPECT_FALSE(health_.OnReset(now_, now_));  // it is known
}

TEST_F(HealthTest, WhatResetsAgainIsEjectedForLonger) {
  for (int i = 0; i < 5; ++i) health_.OnReset(now_ + milliseconds(i), now_ + milliseconds(i));
  for (const int expected : {2, 4, 8}) {
    now_ += minutes(1);
    EXPECT_TRUE(health_.OnSuccess(now_));  // it takes the trial
    EXPECT_FALSE(health_.ejected());
    now_ += milliseconds(1);
    EXPECT_TRUE(health_.OnReset(now_, now_));
    EXPECT_EQ(health_.EjectedFor(now_), seconds(expected));
  }
  now_ += minutes(1);
  health_.OnSuccess(now_);
  health_.OnAnswer();
  FailTimes(5);
  EXPECT_EQ(health_.EjectedFor(now_), seconds(1));
}

// A server that never says anything is restarted now and then.
TEST_F(HealthTest, ResetsOfLongAgoDoNotCount) {
  for (int i = 0; i < 20; ++i) {
    health_.OnSuccess(now_);
    now_ += milliseconds(1);
    EXPECT_FALSE(health_.OnReset(now_, now_));
    now_ += kLongestEjection + milliseconds(1);
  }
  health_.OnSuccess(now_);
  for (int i = 0; i < 5; ++i) health_.OnReset(now_ + milliseconds(i), now_ + milliseconds(i));
  EXPECT_TRUE(health_.ejected());
  // Nor for how long it is out.
  now_ += minutes(10);
  health_.OnSuccess(now_);
  FailTimes(5);
  EXPECT_LE(health_.EjectedFor(now_), seconds(1));
}

TEST_F(HealthTest, ATrialAfterTheLongestEjectionIsNotTooLate) {
  for (int i = 0; i < 5; ++i) health_.OnReset(now_ + milliseconds(i), now_ + milliseconds(i));
  for (int i = 0; i < 10; ++i) {
    now_ = health_.ejected_until() + seconds(1);
    health_.OnSuccess(now_);
    now_ += milliseconds(1);
    EXPECT_TRUE(health_.OnReset(now_, now_));
  }
  EXPECT_EQ(health_.EjectedFor(now_), kLongestEjection);
}

TEST_F(HealthTest, ABurstOfResetsEjectsOnce) {
  const MonotonicTime begun = now_;
  now_ += milliseconds(1);
  for (int i = 0; i < 100; ++i) health_.OnReset(begun, now_ + milliseconds(i));
  EXPECT_LE(health_.EjectedFor(now_), seconds(1) + milliseconds(4));
}

TEST(RoundTripTest, NoiseDoesNotMoveIt) {
  MonotonicTime now{std::chrono::hours(1)};
  RoundTrip round_trip;
  EXPECT_EQ(round_trip.Settled(now), std::nullopt);
  EXPECT_TRUE(round_trip.Add(milliseconds(100), now));
  for (int i = 0; i < 1000; ++i) {
    now += seconds(1);
    EXPECT_FALSE(round_trip.Add(milliseconds(i % 2 == 0 ? 85 : 115), now));
  }
  EXPECT_EQ(round_trip.Settled(now), milliseconds(100));
}

TEST(RoundTripTest, FollowsAChangeOnceInAWhile) {
  MonotonicTime now{std::chrono::hours(1)};
  RoundTrip round_trip;
  round_trip.Add(milliseconds(100), now);
  int changes = 0;
  for (int i = 0; i < 100; ++i) {
    now += milliseconds(100);
    changes += round_trip.Add(milliseconds(200), now) ? 1 : 0;
  }
  EXPECT_EQ(changes, 1);
  EXPECT_NEAR(std::chrono::duration<double>(*round_trip.Settled(now)).count(), 0.2, 0.01);
}

TEST(RoundTripTest, OldNewsIsNone) {
  MonotonicTime now{std::chrono::hours(1)};
  RoundTrip round_trip;
  round_trip.Add(milliseconds(300), now);
  now += minutes(11);
  EXPECT_EQ(round_trip.Settled(now), std::nullopt);
  EXPECT_TRUE(round_trip.Add(milliseconds(10), now));
  EXPECT_EQ(round_trip.Settled(now), milliseconds(10));
}

}  // namespace
}  // namespace tombolo::balance
