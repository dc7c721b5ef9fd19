// SPDX-License-Identifier: Apache-2.0
#include "identity/endpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::identity {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr MonotonicTime kNow{std::chrono::hours(1)};

TEST(EndpointsTest, BeginsWithTheOneThatAnsweredLast) {
  Endpoints endpoints(3);
  EXPECT_THAT(endpoints.Order(kNow), ElementsAre(0, 1, 2));
  endpoints.Answered(1);
  EXPECT_THAT(endpoints.Order(kNow), ElementsAre(1, 2, 0));
}

TEST(EndpointsTest, LeavesAloneWhoHasAskedForIt) {
  Endpoints endpoints(2);
  endpoints.Rest(0, kNow, seconds(10));
  EXPECT_THAT(endpoints.Order(kNow), ElementsAre(1));
  EXPECT_EQ(endpoints.RestOf(kNow), seconds(0));
  endpoints.Rest(1, kNow, seconds(4));
  EXPECT_THAT(endpoints.Order(kNow), IsEmpty());
  EXPECT_EQ(endpoints.RestOf(kNow), seconds(4));
  EXPECT_THAT(endpoints.Order(kNow + seconds(4)), ElementsAre(1));
  EXPECT_THAT(endpoints.Order(kNow + seconds(10)), ElementsAre(0, 1));
}

TEST(EndpointsTest, NobodyIsLeftAloneForever) {
  Endpoints endpoints(1);
  endpoints.Rest(0, kNow, std::chrono::hours(24));
  EXPECT_EQ(endpoints.RestOf(kNow), Endpoints::kMaxRest);
}

}  // namespace
}  // namespace tombolo::identity
