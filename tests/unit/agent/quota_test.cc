// SPDX-License-Identifier: Apache-2.0
#include "agent/quota.h"

#include <atomic>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace tombolo::agent {
namespace {

TEST(QuotaTest, LimitsEachHolderByItself) {
  Quota quota;
  const auto first = quota.Take("a", 2);
  std::optional<absl::StatusOr<Quota::Share>> second = quota.Take("a", 2);
  ASSERT_TRUE(first.ok() && second->ok());
  const absl::Status third = quota.Take("a", 2).status();
  EXPECT_TRUE(absl::IsResourceExhausted(third));
  EXPECT_EQ(third.message(), "a has 2 already");
  EXPECT_TRUE(quota.Take("b", 2).ok());
  second.reset();
  EXPECT_TRUE(quota.Take("a", 2).ok());
}

TEST(QuotaTest, AMovedShareIsGivenBackOnce) {
  Quota quota;
  {
    Quota::Share kept = *quota.Take("a", 1);
    Quota::Share moved = std::move(kept);
    kept = *quota.Take("b", 1);
    EXPECT_FALSE(quota.Take("a", 1).ok());
    moved = std::move(kept);
    EXPECT_TRUE(quota.Take("a", 1).ok());
    EXPECT_FALSE(quota.Take("b", 1).ok());
  }
  EXPECT_TRUE(quota.Take("b", 1).ok());
}

// The limit may have been lowered meanwhile.
TEST(QuotaTest, ALowerLimitHoldsForTheNextOne) {
  Quota quota;
  std::vector<Quota::Share> shares;
  for (int i = 0; i < 5; ++i) shares.push_back(*quota.Take("a", 5));
  shares.pop_back();
  EXPECT_FALSE(quota.Take("a", 2).ok());
  shares.resize(1);
  EXPECT_TRUE(quota.Take("a", 2).ok());
}

TEST(QuotaTest, HoldsAcrossThreads) {
  Quota quota;
  std::atomic<int> most = 0, now = 0;
  const auto work = [&] {
    for (int i = 0; i < 2000; ++i) {
      const auto share = quota.Take("a", 3);
      if (!share.ok()) continue;
      const int seen = ++now;
      int highest = most;
      while (seen > highest && !most.compare_exchange_weak(highest, seen)) {
      }
      --now;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 3);
  EXPECT_TRUE(quota.Take("a", 1).ok());  // none was lost
}

TEST(QuotaTest, OfAllAndOfOneAddress) {
  Quota quota;
  const AddressLimits limits{"limits.things", 3, 2};
  const auto take = [&](const char* address) {
    return TakeForAddress(quota, *net::IpAddress::Parse(address), limits);
  };
  const auto first = take("10.0.0.1"), second = take("10.0.0.1");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(take("10.0.0.1").status().message(),
            "limits.things_per_address: 10.0.0.1 has 2 already");
  {
    const auto third = take("10.0.0.2");
    ASSERT_TRUE(third.ok());
    EXPECT_EQ(take("10.0.0.3").status().message(), "limits.things: this node has 3 already");
  }
  // A refusal keeps nothing.
  EXPECT_TRUE(take("10.0.0.3").ok());
}

TEST(QuotaTest, SaysWhatIsHeld) {
  Quota quota;
  EXPECT_EQ(quota.held("a"), 0u);
  {
    const auto one = quota.Take("a", 5);
    const auto two = quota.Take("a", 5);
    EXPECT_EQ(quota.held("a"), 2u);
    EXPECT_EQ(quota.held("b"), 0u);
  }
  EXPECT_EQ(quota.held("a"), 0u);
}

// Whoever has one address of a /64 has them all.
TEST(QuotaTest, OneAddressIsASlash64) {
  Quota quota;
  const AddressLimits limits{"limits.things", 10, 1};
  const auto first = TakeForAddress(quota, *net::IpAddress::Parse("fd00::1"), limits);
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(TakeForAddress(quota, *net::IpAddress::Parse("fd00::ffff:2"), limits).ok());
  EXPECT_TRUE(TakeForAddress(quota, *net::IpAddress::Parse("fd00:0:0:1::1"), limits).ok());
}

}  // namespace
}  // namespace tombolo::agent
