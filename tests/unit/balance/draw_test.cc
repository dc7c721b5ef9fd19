// SPDX-License-Identifier: Apache-2.0
#include "balance/draw.h"

#include <array>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace tombolo::balance {
namespace {

TEST(LotTest, DrawsByWeight) {
  std::mt19937_64 random(1);
  Lot lot;
  lot.Add(7, 1);
  lot.Add(8, 0);
  lot.Add(9, 3);
  std::map<std::uint32_t, int> counts;
  for (int i = 0; i < 40'000; ++i) ++counts[lot.item(lot.Draw(random()))];
  EXPECT_NEAR(counts[7], 10'000, 500);
  EXPECT_EQ(counts[8], 0);
  EXPECT_NEAR(counts[9], 30'000, 500);
}

TEST(LotTest, DrawsAnother) {
  std::mt19937_64 random(2);
  Lot lot;
  for (std::uint32_t i = 0; i < 4; ++i) lot.Add(i, i + 1);  // 1 2 3 4
  std::array<int, 4> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts[lot.DrawOther(2, random())];
  EXPECT_NEAR(counts[0], 10'000, 500);
  EXPECT_NEAR(counts[1], 20'000, 700);
  EXPECT_EQ(counts[2], 0);
  EXPECT_NEAR(counts[3], 40'000, 700);
}

TEST(LotTest, WhatWeighsNothingIsDrawnOnlyWhenAllDo) {
  std::mt19937_64 random(3);
  Lot lot;
  lot.Add(0, 0);
  lot.Add(1, 0);
  EXPECT_EQ(lot.DrawOther(0, random()), 1u);
  std::array<int, 2> counts{};
  for (int i = 0; i < 1000; ++i) ++counts[lot.Draw(random())];
  EXPECT_NEAR(counts[0], 500, 100);
  lot.Add(2, 1);
  EXPECT_EQ(lot.Draw(random()), 2u);
  EXPECT_EQ(lot.DrawOther(2, random()), 2u);
}

std::size_t Closest(const std::vector<double>& weights, std::uint64_t key) {
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double distance = Distance(Mix(i, 77), key, weights[i]);
    if (distance < least) {
      least = distance;
      best = i;
    }
  }
  return best;
}

TEST(RendezvousTest, SharesByWeightAndMovesOnlyWhatItMust) {
  const std::vector<double> before = {1, 2, 3, 4};
  const std::vector<double> after = {1, 2, 0, 4};
  std::array<int, 4> counts{};
  for (std::uint64_t key = 0; key < 10'000; ++key) {
    const std::size_t was = Closest(before, Mix(key, 5));
    ++counts[was];
    if (was != 2) {
      EXPECT_EQ(Closest(after, Mix(key, 5)), was);
    }
  }
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(counts[i], 1000.0 * (i + 1), 200);
}

// Another process, another version: the same endpoint for the same source.
TEST(RendezvousTest, HashesStayWhatTheyAre) {
  EXPECT_EQ(StableHash(""), 0xc3817c016ba4ff30u);
  EXPECT_EQ(StableHash("east/web-1"), 0x81ec1999ab841643u);
}

}  // namespace
}  // namespace tombolo::balance
