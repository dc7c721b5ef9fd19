// SPDX-License-Identifier: Apache-2.0
#include "link/tokens.h"

#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace tombolo::link {
namespace {

using std::chrono::seconds;

class TokensTest : public ::testing::Test {
 protected:
  void ExpectGood(const Token& token) {
    const auto refusal = tokens_.Redeem(token, now_);
    EXPECT_FALSE(refusal.has_value()) << Name(*refusal);
  }
  void ExpectRefused(const Token& token, TokenRefusal why) {
    const auto refusal = tokens_.Redeem(token, now_);
    ASSERT_TRUE(refusal.has_value()) << "it is good";
    EXPECT_EQ(*refusal, why) << Name(*refusal);
  }

  MonotonicTime now_{std::chrono::hours(1)};
  Tokens tokens_{7};
};

TEST_F(TokensTest, IsGoodOnce) {
  const Token one = tokens_.Issue(now_), two = tokens_.Issue(now_);
  EXPECT_EQ(tokens_.Outstanding(now_), 2u);
  ExpectGood(two);
  ExpectGood(one);
  EXPECT_EQ(tokens_.Outstanding(now_), 0u);
  ExpectRefused(one, TokenRefusal::kUsed);
  ExpectRefused(two, TokenRefusal::kUsed);
}

TEST_F(TokensTest, SaysWhichLinkItIsOf) {
  EXPECT_EQ(LinkOf(tokens_.Issue(now_)), 7u);
  EXPECT_EQ(LinkOf(Tokens(0x0102030405060708).Issue(now_)), 0x0102030405060708u);
}

TEST_F(TokensTest, NoneIsLikeAnother) {
  std::set<Token> all;
  for (int i = 0; i < 1000; ++i) all.insert(tokens_.Issue(now_));
  EXPECT_EQ(all.size(), 1000u);
  EXPECT_EQ(tokens_.Outstanding(now_), 1000u);
}

TEST_F(TokensTest, WhatWasNeverIssuedIsUnknown) {
  Token token = tokens_.Issue(now_);
  ExpectRefused(Token{}, TokenRefusal::kUnknown);
  token[31] ^= 1;
  ExpectRefused(token, TokenRefusal::kUnknown);
  token[31] ^= 1;
  token[0] ^= 1;  // the link
  ExpectRefused(token, TokenRefusal::kUnknown);
  EXPECT_EQ(tokens_.Outstanding(now_), 1u);
}

TEST_F(TokensTest, ExpiresAndIsForgottenLater) {
  const Token early = tokens_.Issue(now_);
  now_ += seconds(29);
  const Token late = tokens_.Issue(now_);
  EXPECT_EQ(tokens_.Outstanding(now_), 2u);
  now_ += seconds(1);
  EXPECT_EQ(tokens_.Outstanding(now_), 1u);
  ExpectRefused(early, TokenRefusal::kExpired);
  ExpectGood(late);
  now_ += seconds(29);
  ExpectRefused(early, TokenRefusal::kExpired);
  ExpectRefused(late, TokenRefusal::kUsed);
  now_ += seconds(1);
  ExpectRefused(early, TokenRefusal::kUnknown);
  ExpectRefused(late, TokenRefusal::kUnknown);
  EXPECT_EQ(tokens_.Outstanding(now_), 0u);
}

// However fast tokens are used, one that was handed out can be shown.
TEST_F(TokensTest, WhatIsUsedMakesNoneForgotten) {
  const Token slow = tokens_.Issue(now_), first = tokens_.Issue(now_);
  ExpectGood(first);
  for (std::size_t i = 0; i < 10 * Tokens::kMostOver; ++i) ExpectGood(tokens_.Issue(now_));
  ExpectRefused(first, TokenRefusal::kUnknown);
  ExpectGood(slow);
}

TEST_F(TokensTest, HowManyMayBeShownIsBounded) {
  std::vector<Token> all;
  for (std::size_t i = 0; i < Tokens::kMost + 1; ++i) all.push_back(tokens_.Issue(now_));
  EXPECT_EQ(tokens_.Outstanding(now_), Tokens::kMost);
  ExpectRefused(all[0], TokenRefusal::kUnknown);
  ExpectGood(all[1]);
}

}  // namespace
}  // namespace tombolo::link
