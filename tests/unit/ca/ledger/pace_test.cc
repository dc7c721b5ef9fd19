// SPDX-License-Identifier: Apache-2.0
#include "ledger/pace.h"

#include <gtest/gtest.h>

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;

constexpr Duration kNone = Duration::zero();

TEST(PaceTest, WhoIsAloneDoesNotWait) {
  Pace pace([] { return 0.5; });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(pace.AfterCommit(milliseconds(3)), kNone);
}

TEST(PaceTest, WhoHasLostTriesAgainAtOnceAndThenSoon) {
  Pace pace([] { return 0.999; });
  EXPECT_EQ(pace.AfterLoss(8), kNone);
  EXPECT_GT(pace.AfterLoss(8), kNone);
  for (int i = 0; i < 100; ++i) EXPECT_LE(pace.AfterLoss(8), Pace::kLongestLoss);
  (void)pace.AfterCommit(milliseconds(1));
  EXPECT_EQ(pace.AfterLoss(8), kNone) << "not in a row any more";
}

TEST(PaceTest, WhoHasMetOthersLetsThemGoFirstForAWhile) {
  Pace pace([] { return 0.5; });
  (void)pace.AfterLoss(8);
  for (int i = 0; i < Pace::kYields; ++i) {
    EXPECT_EQ(pace.AfterCommit(milliseconds(3)), milliseconds(3));
  }
  EXPECT_EQ(pace.AfterCommit(milliseconds(3)), kNone) << "nobody has been met for a while";
  pace.MetOthers();
  EXPECT_EQ(pace.AfterCommit(milliseconds(3)), milliseconds(3));
}

TEST(PaceTest, WhoHasLostTriesWithLess) {
  Pace pace([] { return 0.5; });
  EXPECT_EQ(pace.most(), Pace::kMost);
  (void)pace.AfterLoss(59);
  EXPECT_EQ(pace.most(), 29);
  (void)pace.AfterLoss(1);
  EXPECT_EQ(pace.most(), 1);
  for (int i = 0; i < 20; ++i) {
    EXPECT_LT(pace.most(), 2u << i) << "it grows with every commit";
    (void)pace.AfterCommit(milliseconds(1));
  }
  EXPECT_EQ(pace.most(), Pace::kMost);
}

TEST(PaceTest, ASlowStoreDoesNotMakeItWaitLong) {
  Pace pace([] { return 0.999; });
  pace.MetOthers();
  EXPECT_LE(pace.AfterCommit(std::chrono::seconds(5)), Pace::kLongestYield);
}

TEST(PaceTest, AStoreThatIsAwayIsAskedLessAndLess) {
  Pace pace([] { return 0.0; });
  Duration last = kNone;
  for (int i = 0; i < 7; ++i) {
    const Duration next = pace.AfterFailure();
    EXPECT_GT(next, last);
    last = next;
  }
  for (int i = 0; i < 100; ++i) EXPECT_LE(pace.AfterFailure(), Pace::kLongestFailure);
}

}  // namespace
}  // namespace tombolo::ca
