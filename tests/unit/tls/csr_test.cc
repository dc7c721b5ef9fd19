// SPDX-License-Identifier: Apache-2.0
#include "tls/csr.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "absl/strings/str_cat.h"
#include "testing/openssl_command.h"
#include "tls/certificate_builder.h"
#include "tls/openssl.h"
#include "tls/pem.h"

namespace tombolo::tls {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kUri[] = "URI:spiffe://test.example/cluster/east/ns/shop/sa/web";

std::string Der(X509_REQ* request) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request, &der);
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

KeyPtr RsaKey(unsigned bits, unsigned long exponent = 65537, const char* type = "RSA") {
  const std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>> context(
      EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  const BignumPtr number(BN_new());
  BN_set_word(number.get(), exponent);
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), static_cast<int>(bits)) != 1 ||
      EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context.get(), number.get()) != 1 ||
      EVP_PKEY_keygen(context.get(), &key) != 1) {
    std::abort();
  }
  return KeyPtr(key);
}

// A request by any key, as no code of ours would make it.
std::string Raw(EVP_PKEY* key, const EVP_MD* digest, const std::string& names = kUri,
                long version = 0) {
  const X509ReqPtr request(X509_REQ_new());
  X509_REQ_set_version(request.get(), version);
  X509_REQ_set_pubkey(request.get(), key);
  const auto* organization = reinterpret_cast<const unsigned char*>("A\nB\xc3\xa4");
  X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "O", MBSTRING_UTF8,
                             organization, -1, -1, 0);
  const ExtensionsPtr extensions(sk_X509_EXTENSION_new_null());
  if (!names.empty()) {
    sk_X509_EXTENSION_push(
        extensions.get(),
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str()));
    X509_REQ_add_extensions(request.get(), extensions.get());
  }
  if (X509_REQ_sign(request.get(), key, digest) == 0) std::abort();
  return Der(request.get());
}

std::string ErrorOf(absl::string_view csr) {
  const auto parsed = ParseCsr(csr);
  EXPECT_TRUE(parsed.ok() || absl::IsInvalidArgument(parsed.status())) << parsed.status();
  return std::string(parsed.status().message());
}

std::string Good() { return Raw(KeyPtr(EVP_EC_gen("P-256")).get(), EVP_sha256()); }

TEST(CsrTest, TakesOurOwn) {
  const std::string key = *GenerateKey();
  const SpiffeId id = *SpiffeId::ForNode("test.example", "east", "n1");
  const auto made = MakeCsr(key, id);
  ASSERT_TRUE(made.ok()) << made.status();
  const auto csr = ParseCsr(*made);
  ASSERT_TRUE(csr.ok()) << csr.status();
  EXPECT_EQ(csr->key, SigningKey::FromPem(key, "key")->public_key());
  EXPECT_THAT(csr->uris, ElementsAre(id.text()));
  EXPECT_EQ(csr->subject, "O=Tombolo");
  EXPECT_FALSE(MakeCsr(key, *SpiffeId::ForTrustDomain("test.example")).ok());
  EXPECT_FALSE(MakeCsr("no key", id).ok());
}

TEST(CsrTest, TakesStrongKeysOfEachKind) {
  for (const char* curve : {"P-256", "P-384", "P-521"}) {
    const auto csr = ParseCsr(Raw(KeyPtr(EVP_EC_gen(curve)).get(), EVP_sha384()));
    ASSERT_TRUE(csr.ok()) << csr.status();
    EXPECT_EQ(Name(csr->key.kind), curve);
  }
  const auto rsa = ParseCsr(Raw(RsaKey(2048).get(), EVP_sha256()));
  ASSERT_TRUE(rsa.ok()) << rsa.status();
  EXPECT_EQ(rsa->key.kind, KeyKind::kRsa);
  const KeyPtr ed25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  EXPECT_EQ(ParseCsr(Raw(ed25519.get(), nullptr))->key.kind, KeyKind::kEd25519);
}

TEST(CsrTest, RefusesWeakAndUnknownKeys) {
  EXPECT_THAT(ErrorOf(Raw(RsaKey(1024).get(), EVP_sha256())), HasSubstr("RSA key has 1024 bits"));
  EXPECT_THAT(ErrorOf(Raw(RsaKey(2048, 3).get(), EVP_sha256())), HasSubstr("exponent"));
  EXPECT_THAT(ErrorOf(Raw(RsaKey(2048, 65537, "RSA-PSS").get(), EVP_sha256())),
              HasSubstr("kind RSA-PSS"));
  EXPECT_THAT(ErrorOf(Raw(KeyPtr(EVP_EC_gen("secp256k1")).get(), EVP_sha256())),
              HasSubstr("curve secp256k1"));
  EXPECT_THAT(ErrorOf(Raw(KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448")).get(), nullptr)),
              HasSubstr("kind ED448"));
  const KeyPtr spelled_out(EVP_EC_gen("P-256"));
  EVP_PKEY_set_utf8_string_param(spelled_out.get(), OSSL_PKEY_PARAM_EC_ENCODING,
                                 OSSL_PKEY_EC_ENCODING_EXPLICIT);
  EXPECT_THAT(ErrorOf(Raw(spelled_out.get(), EVP_sha256())), HasSubstr("explicit curve"));
}

TEST(CsrTest, RefusesAnRsaKeyThatIsTooLong) {
  // Made by hand: to generate one would take minutes. Its signature never gets looked at.
  const BignumPtr modulus(BN_new()), exponent(BN_new());
  BN_rand(modulus.get(), 8208, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
  BN_set_word(exponent.get(), 65537);
  const std::unique_ptr<OSSL_PARAM_BLD, Freer<OSSL_PARAM_BLD_free>> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  const std::unique_ptr<OSSL_PARAM, Freer<OSSL_PARAM_free>> params(
      OSSL_PARAM_BLD_to_param(builder.get()));
  const std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>> context(
      EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* made = nullptr;
  ASSERT_EQ(EVP_PKEY_fromdata_init(context.get()), 1);
  ASSERT_EQ(EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, params.get()), 1);
  const KeyPtr key(made);
  const KeyPtr signer(EVP_EC_gen("P-256"));
  const X509ReqPtr request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), key.get());
  X509_REQ_sign(request.get(), signer.get(), EVP_sha256());
  EXPECT_THAT(ErrorOf(Der(request.get())), HasSubstr("RSA key has 8208 bits"));
}

TEST(CsrTest, RefusesWeakSignatures) {
  const KeyPtr rsa = RsaKey(2048);
  EXPECT_THAT(ErrorOf(Raw(rsa.get(), EVP_sha1())), HasSubstr("signed by RSA-SHA1"));
  EXPECT_THAT(ErrorOf(Raw(rsa.get(), EVP_md5())), HasSubstr("signed by RSA-MD5"));
  EXPECT_THAT(ErrorOf(Raw(KeyPtr(EVP_EC_gen("P-256")).get(), EVP_sha1())),
              HasSubstr("signed by ecdsa-with-SHA1"));
}

TEST(CsrTest, RefusesAKeyThatDidNotSign) {
  const KeyPtr signer(EVP_EC_gen("P-256")), other(EVP_EC_gen("P-256"));
  const X509ReqPtr request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), other.get());
  X509_REQ_sign(request.get(), signer.get(), EVP_sha256());
  EXPECT_THAT(ErrorOf(Der(request.get())), HasSubstr("signature is not by its key"));
}

TEST(CsrTest, RefusesEveryDamage) {
  const std::string good = Good();
  ASSERT_TRUE(ParseCsr(good).ok());
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(ErrorOf(good.substr(0, size)), "") << size;
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    EXPECT_NE(ErrorOf(bad), "") << at;
  }
  EXPECT_THAT(ErrorOf(""), HasSubstr("empty"));
  EXPECT_THAT(ErrorOf(good + '\0'), HasSubstr("more data after its end"));
  EXPECT_THAT(ErrorOf(std::string(kMaxCsrSize + 1, '0')), HasSubstr("larger than 16384"));
  EXPECT_THAT(ErrorOf(Raw(KeyPtr(EVP_EC_gen("P-256")).get(), EVP_sha256(), kUri, 1)),
              HasSubstr("unknown version"));
}

TEST(CsrTest, RefusesWhatIsOnlyBer) {
  std::string ber = Good();
  // An outer length in more octets than it needs.
  ASSERT_EQ(ber.substr(0, 2), "\x30\x82");
  ber = std::string("\x30\x83\0", 3) + ber.substr(2);
  EXPECT_THAT(ErrorOf(ber), HasSubstr("not in DER"));
}

TEST(CsrTest, ReadsOnePemBlock) {
  const std::string der = Good();
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const X509ReqPtr request(d2i_X509_REQ(nullptr, &data, static_cast<long>(der.size())));
  const std::string pem = *WriteRequest(request.get());
  EXPECT_TRUE(ParseCsr(pem).ok());
  EXPECT_TRUE(ParseCsr(absl::StrCat("Text of openssl req -text\n", pem, "\n \n")).ok());
  EXPECT_THAT(ErrorOf(pem + pem), HasSubstr("more data after its end"));
  EXPECT_THAT(ErrorOf(pem.substr(0, pem.size() - 8)), HasSubstr("neither DER nor PEM"));
  EXPECT_THAT(ErrorOf(*GenerateKey()), HasSubstr("PEM of something else"));
  EXPECT_THAT(ErrorOf("hello"), HasSubstr("neither DER nor PEM"));
}

TEST(CsrTest, NamesAreWishes) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  EXPECT_THAT(ParseCsr(Raw(key.get(), EVP_sha256(), ""))->uris, IsEmpty());
  const auto two = ParseCsr(Raw(key.get(), EVP_sha256(), "URI:https://a,DNS:b,URI:urn:c"));
  EXPECT_THAT(two->uris, ElementsAre("https://a", "urn:c"));
  EXPECT_EQ(two->subject, "O=A\\0AB\\C3\\A4") << "nothing that a log would break at";
  std::string many = "URI:u:0";
  for (int i = 1; i < 17; ++i) absl::StrAppend(&many, ",URI:u:", i);
  EXPECT_THAT(ErrorOf(Raw(key.get(), EVP_sha256(), many)), HasSubstr("more than 16 URI names"));
}

TEST(CsrTest, RefusesAMalformedName) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509ReqPtr request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), key.get());
  const std::unique_ptr<ASN1_OCTET_STRING, Freer<ASN1_OCTET_STRING_free>> junk(
      ASN1_OCTET_STRING_new());
  ASN1_OCTET_STRING_set(junk.get(), reinterpret_cast<const unsigned char*>("\x30\x05junk!"), 7);
  const ExtensionsPtr extensions(sk_X509_EXTENSION_new_null());
  sk_X509_EXTENSION_push(
      extensions.get(), X509_EXTENSION_create_by_NID(nullptr, NID_subject_alt_name, 0, junk.get()));
  X509_REQ_add_extensions(request.get(), extensions.get());
  X509_REQ_sign(request.get(), key.get(), EVP_sha256());
  EXPECT_THAT(ErrorOf(Der(request.get())), HasSubstr("malformed subject alternative name"));
}

using CsrCommandTest = testing::OpensslCommandTest;

TEST_F(CsrCommandTest, OpensslAndWeUnderstandEachOther) {
  const std::string own =
      *MakeCsr(*GenerateKey(), *SpiffeId::ForNode("test.example", "east", "n1"));
  Write("own.der", own);
  const auto verified = Openssl("req -inform DER -in own.der -noout -verify -text");
  EXPECT_EQ(verified.status, 0) << verified.output;
  EXPECT_THAT(verified.output, HasSubstr("URI:spiffe://test.example/cluster/east/node/n1"));
  const auto made = Openssl(
      "req -new -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=x -outform DER -out made.der "
      "-addext subjectAltName=URI:spiffe://test.example/a");
  ASSERT_EQ(made.status, 0) << made.output;
  const auto csr = ParseCsr(Read("made.der"));
  ASSERT_TRUE(csr.ok()) << csr.status();
  EXPECT_THAT(csr->uris, ElementsAre("spiffe://test.example/a"));
}

}  // namespace
}  // namespace tombolo::tls
