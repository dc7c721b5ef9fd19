// SPDX-License-Identifier: Apache-2.0
#include "ledger/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "ledger/audit.h"
#include "ledger_case.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(RecordsTest, CertificatesComeBackAsTheyWere) {
  Certificate certificate = NewCertificate("spiffe://test.example/\"quoted\"\n\xc3\xa4");
  certificate.sequence = 7;
  const std::string text = *Encode(certificate);
  const auto again = DecodeCertificate("cert/" + certificate.serial, text);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->subject, certificate.subject);
  EXPECT_EQ(again->not_before, certificate.not_before);
  EXPECT_EQ(again->not_after, certificate.not_after);
  EXPECT_EQ(again->sequence, 7);
  EXPECT_EQ(*Encode(*again), text);
}

TEST(RecordsTest, TokensAndRevocationsComeBackAsTheyWere) {
  const Token token = NewToken("secret", "one");
  const auto token_again = DecodeToken(TokenKey(token.digest), *Encode(token));
  ASSERT_TRUE(token_again.ok()) << token_again.status();
  EXPECT_EQ(token_again->expires, token.expires);
  EXPECT_THAT(*Encode(token), Not(HasSubstr("secret")));
  const Revocation revocation{.kind = Kind::kCluster, .subject = "east", .sequence = 3};
  const auto again = DecodeRevocation(RevocationKey(3), *Encode(revocation));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->kind, Kind::kCluster);
}

TEST(RecordsTest, ARecordSaysThatItsCertificateHasExpired) {
  const Certificate certificate = NewCertificate("a");
  const std::string text = *Encode(certificate);
  using std::chrono::seconds;
  EXPECT_FALSE(SaysExpired(text, certificate.not_after - seconds(1)));
  EXPECT_FALSE(SaysExpired(text, certificate.not_after)) << "not down to the second";
  EXPECT_TRUE(SaysExpired(text, certificate.not_after + seconds(1)));
  EXPECT_FALSE(SaysExpired("{}", certificate.not_after + seconds(1)));
}

TEST(RecordsTest, ATokensKeyMayBeMissing) {
  Token token = NewToken("secret", "one");
  token.spent = true;
  EXPECT_THAT(*Encode(token), Not(HasSubstr("\"key\""))) << "as it was before there were any";
  EXPECT_FALSE(PaysAgain(*DecodeToken(TokenKey(token.digest), *Encode(token)), ""));
  token.key = "ab12";
  const auto again = DecodeToken(TokenKey(token.digest), *Encode(token));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(PaysAgain(*again, "ab12"));
  EXPECT_FALSE(PaysAgain(*again, "ab13"));
}

TEST(RecordsTest, DecodingIsStrict) {
  const Token token = NewToken("secret", "one");
  const std::string key = TokenKey(token.digest);
  const std::string good = *Encode(token);
  const auto error = [&](const std::string& from, const std::string& to) {
    const auto decoded = DecodeToken(key, absl::StrReplaceAll(good, {{from, to}}));
    EXPECT_TRUE(absl::IsDataLoss(decoded.status())) << decoded.status();
    EXPECT_THAT(std::string(decoded.status().message()), HasSubstr(key + ": "));
    return std::string(decoded.status().message());
  };
  EXPECT_THAT(error("\"spent\":false,", ""), HasSubstr("'spent' is missing"));
  EXPECT_THAT(error("false", "\"no\""), HasSubstr("'spent' is neither true nor false"));
  EXPECT_THAT(error("false", "false,\"more\":1"), HasSubstr("unknown field 'more'"));
  EXPECT_THAT(error("false", "true,\"spent\":false"), HasSubstr("not written as"));
  EXPECT_THAT(error("\"node\"", "\"god\""), HasSubstr("unknown 'kind': 'god'"));
  EXPECT_THAT(error("Z\"", "\""), HasSubstr("'expires' is not a time"));
  EXPECT_THAT(error("{", "["), HasSubstr("not JSON"));
  EXPECT_THAT(error(token.digest, DigestHex("x")), HasSubstr("holds the record of token/"));
}

TEST(RecordsTest, WhatCouldNotBeReadIsNotWritten) {
  Certificate certificate = NewCertificate("latin \xe4");
  EXPECT_TRUE(absl::IsInvalidArgument(Encode(certificate).status()));
}

TEST(RecordsTest, EntriesComeBackAsTheyWere) {
  const AuditEntry entry{.sequence = 12,
                         .time = std::chrono::system_clock::now(),
                         .event = "e",
                         .actor = "a",
                         .subject = "s",
                         .details = {{"b", "2"}, {"a", "1"}},
                         .writes = {{"k", "d"}},
                         .deletes = {"x"},
                         .transaction = "t",
                         .previous = "p"};
  const auto again = DecodeEntry("audit/00000000000000000012", Encode(entry));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Encode(*again), Encode(entry));
  EXPECT_EQ(again->time, entry.time);
  EXPECT_FALSE(DecodeEntry(AuditKey(13), Encode(entry)).ok());
  EXPECT_TRUE(absl::IsDataLoss(DecodeHead("{}").status()));
}

}  // namespace
}  // namespace tombolo::ca
