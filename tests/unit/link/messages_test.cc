// SPDX-License-Identifier: Apache-2.0
#include "link/messages.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::link {
namespace {

using ::testing::HasSubstr;

Token TokenOf(std::uint8_t byte) {
  Token token;
  token.fill(byte);
  return token;
}

TEST(LinkMessagesTest, WhatIsEncodedComesBack) {
  for (const Message& message :
       std::vector<Message>{Hello{.most_spares = 513}, Hello{.renews = true}, Offer{{TokenOf(1)}},
                            Offer{std::vector<Token>(kMaxTokens, TokenOf(2))}, Ping(), Pong(),
                            GoAway{"draining"}, GoAway{}}) {
    const Bytes bytes = Encode(message);
    EXPECT_LE(bytes.size(), kMaxMessageSize);
    const absl::StatusOr<Message> read = Decode(bytes);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, message) << NameOf(message);
  }
}

TEST(LinkMessagesTest, TheBytesOfATokenAreWhereTheyBelong) {
  Bytes bytes = Encode(Offer{{TokenOf(7), TokenOf(9)}});
  ASSERT_EQ(bytes.size(), 4u + 64u);
  EXPECT_EQ(Bytes(bytes.begin(), bytes.begin() + 5), (Bytes{2, 0, 0, 64, 7}));
  EXPECT_EQ(bytes.back(), 9);
  EXPECT_EQ(Encode(Hello{.most_spares = 0x0102}), (Bytes{1, 0, 0, 4, 1, 1, 2, 0}));
}

TEST(LinkMessagesTest, ALaterHelloMayHaveMore) {
  const auto read = Decode(Bytes{1, 0, 0, 5, 2, 0, 9, 0, 42});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(std::get<Hello>(*read), (Hello{.version = 2, .most_spares = 9}));
}

TEST(LinkMessagesTest, WhatIsMalformedIsRefused) {
  const auto error = [](const Bytes& bytes) {
    const auto read = Decode(bytes);
    EXPECT_TRUE(absl::IsInvalidArgument(read.status())) << read.status();
    return std::string(read.status().message());
  };
  EXPECT_THAT(error({}), HasSubstr("too short"));
  EXPECT_THAT(error({3, 0, 0}), HasSubstr("too short"));
  EXPECT_THAT(error(Bytes(kMaxMessageSize + 1)), HasSubstr("too long"));
  EXPECT_THAT(error({3, 0, 0, 1}), HasSubstr("claims 1 payload bytes and has 0"));
  EXPECT_THAT(error({3, 0, 0, 0, 1}), HasSubstr("claims 0 payload bytes and has 1"));
  EXPECT_THAT(error({1, 0, 0, 3, 1, 0, 0}), HasSubstr("HELLO"));
  EXPECT_THAT(error({2, 0, 0, 0}), HasSubstr("TOKENS"));
  EXPECT_THAT(error({3, 0, 0, 1, 0}), HasSubstr("PING"));
  EXPECT_THAT(error({4, 0, 0, 1, 0}), HasSubstr("PONG"));
  EXPECT_THAT(error({5, 0, 0, 1, 10}), HasSubstr("GOAWAY"));
  EXPECT_THAT(error({0, 0, 0, 0}), HasSubstr("unknown type 0"));
  EXPECT_THAT(error({6, 0, 0, 0}), HasSubstr("unknown type 6"));
  Bytes half = Encode(Offer{{TokenOf(1)}});
  half.pop_back();
  half[3] = 31;
  EXPECT_THAT(error(half), HasSubstr("TOKENS"));
  Bytes many(4 + 65 * 32);
  many[0] = 2;
  many[2] = 65 * 32 >> 8;
  many[3] = static_cast<std::uint8_t>(65 * 32);
  EXPECT_THAT(error(many), HasSubstr("TOKENS"));
  Bytes long_goodbye(4 + 513, 'a');
  long_goodbye[0] = 5;
  long_goodbye[1] = 0;
  long_goodbye[2] = 2;
  long_goodbye[3] = 1;
  EXPECT_THAT(error(long_goodbye), HasSubstr("GOAWAY"));
}

TEST(LinkMessagesTest, AnOptionalMessageOfALaterVersionIsSkipped) {
  EXPECT_TRUE(absl::IsNotFound(Decode(Bytes{99, kOptional, 0, 1, 0}).status()));
}

TEST(LinkMessagesTest, AGoodbyeIsAlwaysOneThatIsRead) {
  const auto read = Decode(Encode(GoAway{std::string(2000, 'a') + "\n"}));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(std::get<GoAway>(*read).why, std::string(kMaxGoodbyeSize, 'a'));
  EXPECT_EQ(std::get<GoAway>(*Decode(Encode(GoAway{"a\nb"}))).why, "a?b");
}

TEST(LinkMessagesTest, HowASpareBegins) {
  const Bytes bytes = EncodeOpening(TokenOf(5));
  ASSERT_EQ(bytes.size(), kSpareOpening);
  Token token{};
  EXPECT_TRUE(DecodeOpening(bytes, token));
  EXPECT_EQ(token, TokenOf(5));
  for (const int type : {20, 21, 22, 23, 24}) EXPECT_NE(bytes[0], type) << "a TLS record's";
  Bytes other = bytes;
  other[1] = 2;
  EXPECT_FALSE(DecodeOpening(other, token));
  other = bytes;
  other[0] = 22;
  EXPECT_FALSE(DecodeOpening(other, token));
  EXPECT_FALSE(DecodeOpening(absl::MakeSpan(bytes).first(33), token));
}

}  // namespace
}  // namespace tombolo::link
