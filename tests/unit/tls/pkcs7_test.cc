// SPDX-License-Identifier: Apache-2.0
#include "tls/pkcs7.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pkcs7.h>

#include "absl/strings/str_cat.h"
#include "testing/openssl_command.h"
#include "tls/certificate_builder.h"
#include "tls/openssl.h"
#include "tls/pem.h"

namespace tombolo::tls {
namespace {

using std::chrono::hours;
using ::testing::HasSubstr;

constexpr char kDomain[] = "test.example";

struct Chain {
  Chain() : key(*GenerateKey()), root(*CreateRoot(kDomain, key, Validity::FromNow(hours(3)))) {
    const SigningKey root_key = *SigningKey::FromPem(key, "key");
    const auto above =
        *Issuer::FromParts({.chain = root, .chain_name = "root.pem", .key = root_key});
    const SigningKey own = *SigningKey::FromPem(*GenerateKey(), "key");
    intermediate = *above->IssueIntermediate(
        {.key = own.public_key(), .cluster = "east", .validity = Validity::FromNow(hours(2))});
    const auto issuer =
        *Issuer::FromParts({.chain = intermediate, .chain_name = "int.pem", .key = own});
    leaf = *issuer->IssueSvid(*SpiffeId::ForNode(kDomain, "east", "n"), key,
                              Validity::FromNow(hours(1)));
  }
  std::string key, root, intermediate, leaf;
};

std::string ErrorOf(absl::string_view der) {
  const auto read = ReadCertsOnly(der);
  EXPECT_TRUE(read.ok() || absl::IsInvalidArgument(read.status())) << read.status();
  return std::string(read.status().message());
}

TEST(Pkcs7Test, PutsAChainInOrderWhateverTheSetsOrder) {
  const Chain chain;
  const std::string ordered = chain.leaf + chain.intermediate + chain.root;
  for (const std::string& mixed : {ordered, chain.root + chain.leaf + chain.intermediate,
                                   chain.intermediate + chain.root + chain.leaf}) {
    const auto der = MakeCertsOnly(mixed, "chain.pem");
    ASSERT_TRUE(der.ok()) << der.status();
    EXPECT_EQ(*ReadCertsOnly(*der), ordered);
  }
  EXPECT_EQ(*ReadCertsOnly(*MakeCertsOnly(chain.leaf, "leaf.pem")), chain.leaf);
  EXPECT_FALSE(MakeCertsOnly("nothing", "chain.pem").ok());
}

TEST(Pkcs7Test, RefusesDamage) {
  const Chain chain;
  const std::string good = *MakeCertsOnly(chain.leaf + chain.root, "chain.pem");
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(ErrorOf(good.substr(0, size)), "") << size;
  }
  EXPECT_THAT(ErrorOf(good + "x"), HasSubstr("more data after its end"));
  EXPECT_THAT(ErrorOf(std::string(kMaxPkcs7Size + 1, '0')), HasSubstr("larger than"));
  EXPECT_THAT(ErrorOf(chain.leaf), HasSubstr("damaged, or something else"));
}

std::string Der(PKCS7* message) {
  unsigned char* der = nullptr;
  const int size = i2d_PKCS7(message, &der);
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

TEST(Pkcs7Test, WritesWhatOpensslWrites) {
  const std::unique_ptr<PKCS7, Freer<PKCS7_free>> message(PKCS7_new());
  ASSERT_EQ(PKCS7_set_type(message.get(), NID_pkcs7_signed), 1);
  message->d.sign->contents->type = OBJ_nid2obj(NID_pkcs7_data);
  const Chain chain;
  std::string text;
  for (const std::string& one : {chain.leaf, chain.intermediate, chain.root}) {
    const X509StackPtr read = *ReadCertificates(one, "chain.pem");
    ASSERT_EQ(PKCS7_add_certificate(message.get(), sk_X509_value(read.get(), 0)), 1);
    text += one;
    EXPECT_EQ(*MakeCertsOnly(text, "chain.pem"), Der(message.get()));
  }
}

TEST(Pkcs7Test, RefusesWhatIsNotCertsOnly) {
  using Pkcs7Ptr = std::unique_ptr<PKCS7, Freer<PKCS7_free>>;
  const Chain chain;
  const X509StackPtr root = *ReadCertificates(chain.root, "root.pem");
  const KeyPtr key = *ReadKey(chain.key, "key.pem");
  const BioPtr content = ReadOnlyBio("content");
  const Pkcs7Ptr signed_message(
      PKCS7_sign(sk_X509_value(root.get(), 0), key.get(), nullptr, content.get(), PKCS7_BINARY));
  ASSERT_NE(signed_message, nullptr);
  EXPECT_THAT(ErrorOf(Der(signed_message.get())), HasSubstr("has signers"));
  sk_PKCS7_SIGNER_INFO_pop_free(signed_message->d.sign->signer_info, PKCS7_SIGNER_INFO_free);
  signed_message->d.sign->signer_info = sk_PKCS7_SIGNER_INFO_new_null();
  EXPECT_THAT(ErrorOf(Der(signed_message.get())), HasSubstr("has content"));
  const Pkcs7Ptr data(PKCS7_new());
  PKCS7_set_type(data.get(), NID_pkcs7_data);
  EXPECT_THAT(ErrorOf(Der(data.get())), HasSubstr("not SignedData"));
  const Pkcs7Ptr none(PKCS7_new());
  PKCS7_set_type(none.get(), NID_pkcs7_signed);
  none->d.sign->contents->type = OBJ_nid2obj(NID_pkcs7_data);
  EXPECT_THAT(ErrorOf(Der(none.get())), HasSubstr("has no certificate"));
  for (int i = 0; i < 65; ++i) PKCS7_add_certificate(none.get(), sk_X509_value(root.get(), 0));
  EXPECT_THAT(ErrorOf(Der(none.get())), HasSubstr("has more than 64 certificates"));
}

TEST(Pkcs7Test, ABodyIsBase64WithWhiteSpaceAnywhere) {
  const std::string der(100, '\xfe');
  const std::string body = EncodeBody(der);
  EXPECT_THAT(body, HasSubstr("\r\n"));
  EXPECT_EQ(*DecodeBody(body, 100), der);
  std::string spread;
  for (const char c : body) absl::StrAppend(&spread, std::string(1, c), c == 'v' ? " \t" : "");
  EXPECT_EQ(*DecodeBody(spread, 100), der);
  EXPECT_THAT(std::string(DecodeBody(body, 99).status().message()), HasSubstr("too large"));
  EXPECT_THAT(std::string(DecodeBody(body + std::string(400, ' '), 100).status().message()),
              HasSubstr("too large"));
  for (const char* bad :
       {"", " ", "A", "AB", "AB=", "ABC", "AB==CD==", "AB*=", "QR==", "A-_=", "QQ==\v"}) {
    EXPECT_FALSE(DecodeBody(bad, 100).ok()) << bad;
  }
}

using Pkcs7CommandTest = testing::OpensslCommandTest;

TEST_F(Pkcs7CommandTest, OpensslAndWeUnderstandEachOther) {
  const Chain chain;
  Write("body", EncodeBody(*MakeCertsOnly(chain.leaf + chain.intermediate, "chain.pem")));
  const auto printed = Openssl(
      "base64 -d -in body -out own.der && openssl pkcs7 -inform DER -in own.der -print_certs");
  EXPECT_EQ(printed.status, 0) << printed.output;
  EXPECT_THAT(printed.output, HasSubstr("OU = east"));
  Write("chain.pem", chain.intermediate + chain.leaf);
  ASSERT_EQ(Openssl("crl2pkcs7 -nocrl -certfile chain.pem -outform DER -out made.der").status, 0);
  const auto read = ReadCertsOnly(Read("made.der"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, chain.leaf + chain.intermediate);
}

}  // namespace
}  // namespace tombolo::tls
