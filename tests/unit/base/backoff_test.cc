// SPDX-License-Identifier: Apache-2.0
#include "base/backoff.h"

#include <chrono>
#include <set>

#include <gtest/gtest.h>

namespace tombolo {
namespace {

using std::chrono::seconds;

TEST(BackoffTest, DoublesUpToTheLongestLessAPart) {
  for (int round = 0; round < 100; ++round) {
    Backoff backoff(seconds(1), seconds(30));
    for (const int most : {1, 2, 4, 8, 16, 30, 30}) {
      const Duration pause = backoff.Next();
      EXPECT_LE(pause, seconds(most));
      EXPECT_GE(2 * pause, seconds(most) - std::chrono::microseconds(1));
    }
    backoff.Reset();
    EXPECT_LE(backoff.Next(), seconds(1));
  }
}

// Those who have failed together do not come back together.
TEST(BackoffTest, NobodysPausesAreAnothers) {
  std::set<Duration> first;
  for (int i = 0; i < 100; ++i) first.insert(Backoff(seconds(1), seconds(30)).Next());
  EXPECT_GT(first.size(), 90u);
}

}  // namespace
}  // namespace tombolo
