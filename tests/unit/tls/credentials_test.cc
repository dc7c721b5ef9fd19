// SPDX-License-Identifier: Apache-2.0
#include "tls/credentials.h"

#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/test_pki.h"
#include "tls/digest.h"
#include "tls/handshake_failure.h"

namespace tombolo::tls {
namespace {

using testing::Flaw;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TestPki;

std::string MessageOf(const absl::StatusOr<CredentialsPtr>& credentials) {
  return std::string(credentials.status().message());
}

TEST(CredentialsTest, TakesAGoodSvid) {
  const TestPki pki;
  const auto credentials = Credentials::FromPem(pki.Issue("/a/b"));
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ((*credentials)->id().text(), "spiffe://test.example/a/b");
  EXPECT_EQ((*credentials)->serial().size(), 32);
  const WallTime now = std::chrono::system_clock::now();
  EXPECT_LT((*credentials)->not_before(), now);
  EXPECT_GT((*credentials)->not_after(), now + std::chrono::minutes(59));
  EXPECT_LT((*credentials)->not_after(), now + std::chrono::minutes(61));
}

TEST(CredentialsTest, RefusesFlawsAndNamesFileAndRule) {
  const std::pair<Flaw, const char*> kFlaws[] = {
      {Flaw::kTwoUriNames, "has 2 URI names"},
      {Flaw::kNoUriName, "has 0 URI names"},
      {Flaw::kNotSpiffe, "does not begin with spiffe://"},
      {Flaw::kNoPath, "names no workload"},
      {Flaw::kCa, "is a CA"},
      {Flaw::kKeyCertSign, "has keyCertSign"},
      {Flaw::kNoDigitalSignature, "lacks digitalSignature"},
      {Flaw::kNoKeyUsage, "has no key usage"},
      {Flaw::kKeyUsageNotCritical, "key usage is not critical"},
      {Flaw::kOnlyServerAuth, "lacks serverAuth or clientAuth"},
      {Flaw::kOnlyClientAuth, "lacks serverAuth or clientAuth"},
  };
  const TestPki pki;
  for (const auto& [flaw, why] : kFlaws) {
    const auto credentials = Credentials::FromPem(pki.Issue("/a", flaw));
    EXPECT_EQ(ReasonOf(credentials.status()), HandshakeFailure::kBadSvid) << credentials.status();
    EXPECT_THAT(MessageOf(credentials), StartsWith("svid.pem: "));
    EXPECT_THAT(MessageOf(credentials), HasSubstr(why));
  }
  EXPECT_EQ(ReasonOf(Credentials::FromPem(pki.Issue("/a", Flaw::kExpired)).status()),
            HandshakeFailure::kExpired);
  EXPECT_EQ(ReasonOf(Credentials::FromPem(pki.Issue("/a", Flaw::kNotYetValid)).status()),
            HandshakeFailure::kExpired);
}

TEST(CredentialsTest, TheBundleMustBeOfTheTrustDomain) {
  const TestPki pki;
  const auto credentials = Credentials::FromPem(pki.Issue("/a", Flaw::kOtherTrustDomain));
  EXPECT_EQ(ReasonOf(credentials.status()), HandshakeFailure::kWrongTrustDomain);
  EXPECT_THAT(MessageOf(credentials), HasSubstr("bundle.pem: certificate 1: "));
}

TEST(CredentialsTest, TheBundleMustHoldTheRoot) {
  const TestPki pki;
  const TestPki other;
  Credentials::Pem pem = pki.Issue("/a");
  pem.bundle = other.bundle();
  EXPECT_EQ(ReasonOf(Credentials::FromPem(pem).status()), HandshakeFailure::kUntrusted);
  pem.bundle += pki.bundle();
  EXPECT_TRUE(Credentials::FromPem(pem).ok()) << "any root of the bundle will do";
}

TEST(CredentialsTest, ManyShareABundleThatWasReadOnce) {
  const TestPki pki, other;
  const auto trust = TrustAnchors::Parse(pki.bundle(), "test.example", "shared.pem");
  ASSERT_TRUE(trust.ok()) << trust.status();
  Credentials::Pem pem = pki.Issue("/a");
  pem.bundle = "not looked at";
  const auto credentials = Credentials::FromPem(pem, *trust);
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ((*credentials)->trust(), *trust);
  const auto refused = Credentials::FromPem(other.Issue("/a"), *trust).status();
  EXPECT_EQ(ReasonOf(refused), HandshakeFailure::kUntrusted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("svid.pem: against shared.pem"));
  const auto elsewhere = TrustAnchors::Parse(pki.bundle(), "other.example", "shared.pem");
  EXPECT_FALSE(elsewhere.ok() && Credentials::FromPem(pem, *elsewhere).ok());
}

TEST(CredentialsTest, ALeafIsNoRoot) {
  const TestPki pki;
  Credentials::Pem pem = pki.Issue("/a");
  pem.bundle = pem.chain;
  EXPECT_EQ(ReasonOf(Credentials::FromPem(pem).status()), HandshakeFailure::kUntrusted);
}

TEST(CredentialsTest, TheKeyMustBeTheLeafs) {
  const TestPki pki;
  Credentials::Pem pem = pki.Issue("/a");
  pem.key = pki.Issue("/a").key;
  EXPECT_THAT(MessageOf(Credentials::FromPem(pem)), HasSubstr("key.pem: not the key of svid.pem"));
}

TEST(CredentialsTest, NamesWhatIsNotPem) {
  const TestPki pki;
  Credentials::Pem pem = pki.Issue("/a");
  pem.chain = "nothing";
  EXPECT_THAT(MessageOf(Credentials::FromPem(pem)), HasSubstr("svid.pem: no certificate in PEM"));
  pem = pki.Issue("/a");
  pem.key = "";
  EXPECT_THAT(MessageOf(Credentials::FromPem(pem)), HasSubstr("key.pem: no private key in PEM"));
  pem = pki.Issue("/a");
  pem.bundle = "";
  EXPECT_THAT(MessageOf(Credentials::FromPem(pem)), HasSubstr("bundle.pem: no certificate"));
  pem = pki.Issue("/a");
  pem.chain.replace(pem.chain.size() / 2, 4, "!!!!");
  EXPECT_THAT(MessageOf(Credentials::FromPem(pem)), HasSubstr("svid.pem: bad certificate"));
}

TEST(IssuerTest, StaysInItsTrustDomainAndLifetime) {
  const TestPki pki;
  const std::string key = *GenerateKey();
  const Validity hour = Validity::FromNow(std::chrono::hours(1));
  EXPECT_FALSE(
      pki.issuer().IssueSvid(*SpiffeId::Parse("spiffe://other.example/a"), key, hour).ok());
  EXPECT_FALSE(pki.issuer().IssueSvid(*SpiffeId::Parse("spiffe://test.example"), key, hour).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      pki.issuer()
          .IssueSvid(pki.Id("/a"), key, Validity::FromNow(std::chrono::hours(25)))
          .status()));
  EXPECT_FALSE(CreateRoot("Not A Domain", key, hour).ok());
  EXPECT_FALSE(CreateRoot("test.example/path", key, hour).ok());
}

TEST(IssuerTest, ALeafCannotIssue) {
  const TestPki pki;
  const Credentials::Pem pem = pki.Issue("/a");
  const auto issuer = Issuer::FromPem({.certificate = pem.chain,
                                       .key = pem.key,
                                       .certificate_name = "root.pem",
                                       .key_name = "root.key"});
  EXPECT_THAT(std::string(issuer.status().message()), HasSubstr("root.pem: "));
}

TEST(DigestTest, Sha256OfNothingAndAbc) {
  EXPECT_EQ(Sha256("")[0], 0xe3);
  EXPECT_EQ(Sha256("abc")[0], 0xba);
  EXPECT_EQ(Sha256("abc")[31], 0xad);
  EXPECT_NE(Random128(), Random128());
}

}  // namespace
}  // namespace tombolo::tls
