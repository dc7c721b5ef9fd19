// SPDX-License-Identifier: Apache-2.0
#include "tls/signing_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/openssl_command.h"
#include "tls/certificate_builder.h"
#include "tls/serial.h"

namespace tombolo::tls {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using SigningKeyTest = testing::OpensslCommandTest;

TEST_F(SigningKeyTest, FindsAKeyByItsUri) {
  const std::string pem = *GenerateKey();
  const auto key = SigningKey::FromUri("file:" + Write("key.pem", pem));
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->public_key(), SigningKey::FromPem(pem, "key")->public_key());
  const auto root = CreateRoot("test.example", *key, Validity::FromNow(std::chrono::hours(1)));
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(PublicKeyOf(*root, "root.pem")->id(), key->public_key().id());
}

TEST_F(SigningKeyTest, SaysWhatAUriDoesNotFind) {
  const std::string pem = *GenerateKey();
  const auto absent = SigningKey::FromUri("file:" + directory_ + "/absent.pem");
  EXPECT_TRUE(absl::IsFailedPrecondition(absent.status())) << absent.status();
  EXPECT_THAT(std::string(absent.status().message()), HasSubstr("/absent.pem: "));
  const auto two = SigningKey::FromUri("file:" + Write("two.pem", pem + *GenerateKey()));
  EXPECT_THAT(std::string(two.status().message()), HasSubstr("more than one private key"));
  const std::string root =
      *CreateRoot("test.example", pem, Validity::FromNow(std::chrono::hours(1)));
  const auto none = SigningKey::FromUri("file:" + Write("root.pem", root));
  EXPECT_FALSE(none.ok());
  EXPECT_FALSE(SigningKey::FromUri("file:" + Write("junk.pem", "junk")).ok());
  EXPECT_FALSE(SigningKey::FromUri("").ok());
}

TEST_F(SigningKeyTest, NeverAsksForAPassphrase) {
  Write("plain.pem", *GenerateKey());
  ASSERT_EQ(Openssl("pkcs8 -topk8 -in plain.pem -out locked.pem -passout pass:x").status, 0);
  EXPECT_FALSE(SigningKey::FromUri("file:" + directory_ + "/locked.pem").ok());
  EXPECT_FALSE(SigningKey::FromPem(Read("locked.pem"), "locked.pem").ok());
}

TEST_F(SigningKeyTest, ErrorsShowNoPin) {
  const auto key = SigningKey::FromUri("pkcs11:token=ca;object=root?pin-value=4321");
  EXPECT_TRUE(absl::IsFailedPrecondition(key.status())) << key.status();
  EXPECT_THAT(std::string(key.status().message()), HasSubstr("pkcs11:token=ca;object=root: "));
  EXPECT_THAT(std::string(key.status().message()), Not(HasSubstr("4321")));
}

TEST_F(SigningKeyTest, RefusesAWeakKey) {
  ASSERT_EQ(Openssl("genrsa -out weak.pem 1024").status, 0);
  EXPECT_THAT(std::string(SigningKey::FromPem(Read("weak.pem"), "weak.pem").status().message()),
              HasSubstr("weak.pem: RSA key has 1024 bits"));
}

TEST(SerialTest, IsPositiveAndAlways32Digits) {
  std::array<std::uint8_t, 16> bytes{};
  EXPECT_EQ(Serial::FromRandom(bytes).hex(), "40" + std::string(30, '0'));
  bytes.fill(0xff);
  EXPECT_EQ(Serial::FromRandom(bytes).hex(), "7f" + std::string(30, 'f'));
  EXPECT_NE(Serial::Random(), Serial::Random());
  const std::string series = Serial::SeriesText("n1");
  EXPECT_EQ(series.size(), Serial::kSeriesDigits);
  EXPECT_EQ(series, Serial::SeriesText("n1"));
  EXPECT_NE(series, Serial::SeriesText("n2"));
  EXPECT_EQ(Serial::RandomOf("n1").hex().substr(0, Serial::kSeriesDigits), series);
  EXPECT_NE(Serial::RandomOf("n1"), Serial::RandomOf("n1"));
  EXPECT_TRUE(Serial::FromHex(Serial::RandomOf("n1").hex()).ok());
  const Serial serial = Serial::Random();
  EXPECT_EQ(*Serial::FromHex(serial.hex()), serial);
  for (const std::string bad :
       {"", "40", "80000000000000000000000000000000", "4000000000000000000000000000000g",
        "400000000000000000000000000000000"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Serial::FromHex(bad).status())) << bad;
  }
}

TEST(PublicKeyTest, IsReadBack) {
  const PublicKey key = SigningKey::FromPem(*GenerateKey(), "key")->public_key();
  EXPECT_EQ(*ParsePublicKey(key.spki), key);
  EXPECT_FALSE(ParsePublicKey(key.spki + "x").ok());
  EXPECT_FALSE(ParsePublicKey(key.spki.substr(1)).ok());
  EXPECT_FALSE(ParsePublicKey("").ok());
  std::string off_curve = key.spki;
  off_curve.back() = static_cast<char>(off_curve.back() ^ 1);
  EXPECT_FALSE(ParsePublicKey(off_curve).ok());
}

}  // namespace
}  // namespace tombolo::tls
