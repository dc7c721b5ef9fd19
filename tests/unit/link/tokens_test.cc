// SPDX-License-Identifier: Apache-2.0
#include "link/tokens.h"

#include <set>
#include <variant>

#include <gtest/gtest.h>

namespace tombolo::link {
namespace {

using std::chrono::seconds;

class TokensTest : public ::testing::Test {
 protected:
  void ExpectGood(const Token& token, LinkId link) {
    const auto whose = tokens_.Redeem(token, now_);
    ASSERT_TRUE(std::holds_alternative<LinkId>(whose)) << Name(std::get<TokenRefusal>(whose));
    EXPECT_EQ(std::get<LinkId>(whose), link);
  }
  void ExpectRefused(const Token& token, TokenRefusal why) {
    const auto whose = tokens_.Redeem(token, now_);
    ASSERT_TRUE(std::holds_alternative<TokenRefusal>(whose));
    EXPECT_EQ(std::get<TokenRefusal>(whose), why) << Name(std::get<TokenRefusal>(whose));
  }

  MonotonicTime now_{std::chrono::hours(1)};
  Tokens tokens_;
};

TEST_F(TokensTest, IsGoodOnceAndForItsLink) {
  const Token one = tokens_.Issue(1, now_), two = tokens_.Issue(2, now_);
  EXPECT_EQ(tokens_.Outstanding(1, now_), 1u);
  ExpectGood(two, 2);
  ExpectGood(one, 1);
  EXPECT_EQ(tokens_.Outstanding(1, now_), 0u);
  ExpectRefused(one, TokenRefusal::kUsed);
  ExpectRefused(two, TokenRefusal::kUsed);
}

TEST_F(TokensTest, NoneIsLikeAnother) {
  std::set<Token> all;
  for (int i = 0; i < 1000; ++i) all.insert(tokens_.Issue(1, now_));
  EXPECT_EQ(all.size(), 1000u);
  EXPECT_EQ(tokens_.Outstanding(1, now_), 1000u);
}

TEST_F(TokensTest, WhatWasNeverIssuedIsUnknown) {
  Token token = tokens_.Issue(1, now_);
  ExpectRefused(Token{}, TokenRefusal::kUnknown);
  token[31] ^= 1;
  ExpectRefused(token, TokenRefusal::kUnknown);
  EXPECT_EQ(tokens_.Outstanding(1, now_), 1u);
}

TEST_F(TokensTest, ExpiresAndIsForgottenLater) {
  const Token early = tokens_.Issue(1, now_);
  now_ += seconds(29);
  const Token late = tokens_.Issue(1, now_);
  EXPECT_EQ(tokens_.Outstanding(1, now_), 2u);
  now_ += seconds(1);
  EXPECT_EQ(tokens_.Outstanding(1, now_), 1u);
  ExpectRefused(early, TokenRefusal::kExpired);
  ExpectGood(late, 1);
  now_ += seconds(60);
  ExpectRefused(early, TokenRefusal::kUnknown);
  ExpectRefused(late, TokenRefusal::kUnknown);
  EXPECT_EQ(tokens_.Outstanding(1, now_), 0u);
}

TEST_F(TokensTest, GoesWithItsLink) {
  const Token before = tokens_.Issue(2, now_);
  const Token mine = tokens_.Issue(1, now_);
  now_ += seconds(30);
  const Token other = tokens_.Issue(2, now_), again = tokens_.Issue(1, now_);
  EXPECT_EQ(tokens_.Outstanding(1, now_), 1u);
  tokens_.Forget(1);
  ExpectRefused(mine, TokenRefusal::kUnknown);
  ExpectRefused(again, TokenRefusal::kUnknown);
  ExpectRefused(before, TokenRefusal::kExpired);
  EXPECT_EQ(tokens_.Outstanding(1, now_), 0u);
  EXPECT_EQ(tokens_.Outstanding(2, now_), 1u);
  ExpectGood(other, 2);
}

TEST_F(TokensTest, HowMuchIsRememberedIsBounded) {
  const Token first = tokens_.Issue(1, now_);
  for (std::size_t i = 0; i < Tokens::kMost; ++i) (void)tokens_.Issue(2, now_);
  ExpectRefused(first, TokenRefusal::kUnknown);
  EXPECT_EQ(tokens_.Outstanding(1, now_), 0u);
  EXPECT_LE(tokens_.Outstanding(2, now_), Tokens::kMost);
}

}  // namespace
}  // namespace tombolo::link
