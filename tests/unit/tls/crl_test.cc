// SPDX-License-Identifier: Apache-2.0
#include "tls/crl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/openssl_command.h"
#include "tls/certificate_builder.h"

namespace tombolo::tls {
namespace {

using std::chrono::hours;
using ::testing::HasSubstr;

class CrlTest : public testing::OpensslCommandTest {
 protected:
  CrlTest()
      : key_(*GenerateKey()),
        root_(*CreateRoot("test.example", key_, Validity::FromNow(hours(2)))),
        issuer_(*Issuer::FromPem({.certificate = root_,
                                  .key = key_,
                                  .certificate_name = "root.pem",
                                  .key_name = "root.key"})) {}

  Crl List(std::vector<RevokedCertificate> revoked) const {
    return {.number = 7,
            .this_update = now_,
            .next_update = now_ + hours(1),
            .revoked = std::move(revoked)};
  }

  WallTime now_ = std::chrono::system_clock::now();
  std::string key_, root_;
  std::unique_ptr<Issuer> issuer_;
};

TEST_F(CrlTest, OpensslVerifiesItAndRefusesWhatItLists) {
  const std::string leaf = *issuer_->IssueSvid(*SpiffeId::Parse("spiffe://test.example/a"),
                                               *GenerateKey(), Validity::FromNow(hours(1)));
  Write("root.pem", root_);
  Write("leaf.pem", leaf);
  const std::string serial = Openssl("x509 -in leaf.pem -noout -serial").output.substr(7, 32);
  const auto der = BuildCrl(
      *issuer_, List({{.serial = serial, .when = now_, .reason = RevocationReason::kKeyCompromise},
                      {.serial = "0f", .when = now_},
                      {.serial = "1", .when = now_, .reason = RevocationReason::kSuperseded}}));
  ASSERT_TRUE(der.ok()) << der.status();
  Write("list.der", *der);
  const auto verified =
      Openssl("crl -inform DER -in list.der -noout -verify -text -CAfile root.pem");
  EXPECT_EQ(verified.status, 0);
  EXPECT_THAT(verified.output, HasSubstr("verify OK"));
  EXPECT_THAT(verified.output, HasSubstr("Version 2"));
  EXPECT_THAT(verified.output, HasSubstr("X509v3 CRL Number: \n                7\n"));
  EXPECT_THAT(verified.output, HasSubstr("Key Compromise"));
  EXPECT_THAT(verified.output, HasSubstr("Superseded"));
  EXPECT_THAT(verified.output, HasSubstr("Authority Key Identifier"));
  Write("list.pem", *CrlToPem(*der));
  const std::string verify = "verify -x509_strict -crl_check -CAfile root.pem -CRLfile ";
  EXPECT_THAT(Openssl(verify + "list.pem leaf.pem").output, HasSubstr("certificate revoked"));
  Write("empty.pem", *CrlToPem(*BuildCrl(*issuer_, List({}))));
  EXPECT_EQ(Openssl(verify + "empty.pem leaf.pem").status, 0);
}

TEST_F(CrlTest, RefusesWhatMakesNoList) {
  for (const char* bad : {"", "xyz", "-1", "12345678901234567890123456789012345678901"}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(BuildCrl(*issuer_, List({{.serial = bad, .when = now_}})).status()))
        << bad;
  }
  const auto twice =
      BuildCrl(*issuer_, List({{.serial = "ab", .when = now_}, {.serial = "AB", .when = now_}}));
  EXPECT_THAT(std::string(twice.status().message()), HasSubstr("revoked twice"));
  Crl backwards = List({});
  backwards.next_update = backwards.this_update;
  EXPECT_TRUE(absl::IsInvalidArgument(BuildCrl(*issuer_, backwards).status()));
  EXPECT_FALSE(CrlToPem("junk").ok());
  EXPECT_FALSE(CrlToPem(*BuildCrl(*issuer_, List({})) + "x").ok());
}

}  // namespace
}  // namespace tombolo::tls
