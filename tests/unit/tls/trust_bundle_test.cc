// SPDX-License-Identifier: Apache-2.0
#include "tls/trust_bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "testing/cluster_pki.h"
#include "testing/openssl_command.h"
#include "tls/pem.h"

namespace tombolo::tls {
namespace {

using std::chrono::hours;
using testing::ClusterPki;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kDomain[] = "test.example";

std::string Root(const std::string& domain) {
  return *CreateRoot(domain, *GenerateKey(), Validity::FromNow(hours(1)));
}

absl::StatusOr<TrustBundle> Parse(absl::string_view text) {
  return ParseTrustBundle(text, kDomain, "bundle.json");
}
std::string ErrorOf(absl::string_view text) {
  const auto bundle = Parse(text);
  EXPECT_FALSE(bundle.ok()) << text;
  EXPECT_THAT(std::string(bundle.status().message()), StartsWith("bundle.json: "));
  return std::string(bundle.status().message());
}

TEST(TrustBundleTest, IsReadBackAsItWasWritten) {
  TrustBundle bundle = ClusterPki().Bundle();
  bundle.roots += Root(kDomain);
  bundle.sequence = 0xffffffffffffffff;
  bundle.refresh_hint = std::chrono::minutes(5);
  bundle.federated.push_back({.trust_domain = "other.example", .roots = Root("other.example")});
  const auto text = WriteTrustBundle(bundle);
  ASSERT_TRUE(text.ok()) << text.status();
  const auto read = Parse(*text);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, bundle);
  TrustBundle unbound = bundle;
  unbound.bindings.reset();
  EXPECT_EQ(*Parse(*WriteTrustBundle(unbound)), unbound);
  bundle.bindings->clusters.clear();
  EXPECT_EQ(*Parse(*WriteTrustBundle(bundle)), bundle) << "empty is not absent";
}

TEST(TrustBundleTest, ReadsPem) {
  const std::string roots = Root(kDomain) + Root(kDomain);
  const auto bundle = Parse(absl::StrCat("# roots\n", roots));
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->roots, roots);
  EXPECT_FALSE(bundle->bindings.has_value());
  EXPECT_THAT(ErrorOf(Root(kDomain) + Root("other.example")), HasSubstr("certificate 2: "));
  EXPECT_THAT(ErrorOf(""), HasSubstr("no certificate in PEM"));
}

class DocumentTest : public ::testing::Test {
 protected:
  // A document of somebody else's, with a few of the parts replaced.
  std::string Foreign(const std::string& from = "", const std::string& to = "") const {
    const std::string own = *WriteTrustBundle({.trust_domain = kDomain, .roots = root_});
    const std::size_t x5c = own.find("\"x5c\":[\"") + 8;
    const std::string der = own.substr(x5c, own.find('"', x5c) - x5c);
    const std::string document = absl::StrCat(
        R"({"keys":[{"use":"x509-svid","kty":"EC","crv":"P-256","x":"","y":"","x5c":[")", der,
        R"("]},{"use":"jwt-svid","kid":"j","kty":"RSA","n":"x","e":"AQAB"},{"kty":"new"}],)",
        R"("spiffe_sequence":12,"spiffe_refresh_hint":300,"unknown":{"a":[1]}})");
    return absl::StrReplaceAll(document, {{from.empty() ? "\x01" : from, to}});
  }
  // One of ours with a private member.
  std::string Own(const std::string& tombolo) const {
    return Foreign(R"("unknown":{"a":[1]})", "\"tombolo\":" + tombolo);
  }

  std::string root_ = Root(kDomain);
};

TEST_F(DocumentTest, ReadsWhatOthersWrite) {
  const auto bundle = Parse(Foreign());
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->roots, root_);
  EXPECT_EQ(bundle->sequence, 12);
  EXPECT_EQ(bundle->refresh_hint, std::chrono::minutes(5));
  EXPECT_FALSE(bundle->bindings.has_value());
  EXPECT_TRUE(bundle->federated.empty());
  EXPECT_TRUE(Parse(Foreign(R"("spiffe_sequence":12,"spiffe_refresh_hint":300,)")).ok());
}

TEST_F(DocumentTest, RefusesWhatIsMalformed) {
  const std::string good = Foreign();
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(Parse(good.substr(0, size)).ok()) << size;
  }
  EXPECT_THAT(ErrorOf(good + "{}"), HasSubstr("not JSON"));
  EXPECT_THAT(ErrorOf(std::string(kMaxTrustBundleSize + 1, ' ')), HasSubstr("larger than"));
  std::string deep(2000, '[');
  EXPECT_THAT(ErrorOf(Foreign("[1]", deep)), HasSubstr("not JSON"));
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("no 'keys'"));
  EXPECT_THAT(ErrorOf(R"({"keys":{}})"), HasSubstr("'keys' is not a list"));
  EXPECT_THAT(ErrorOf(R"({"keys":[]})"), HasSubstr("no key of use x509-svid"));
  EXPECT_THAT(ErrorOf(R"({"keys":[7]})"), HasSubstr("keys[0] is not an object"));
  EXPECT_THAT(ErrorOf(Foreign("x509-svid", "x509")), HasSubstr("no key of use x509-svid"));
  EXPECT_THAT(ErrorOf(Foreign("\"x509-svid\"", "7")), HasSubstr("'use' is not a string"));
  EXPECT_THAT(ErrorOf(Foreign("x5c\":[\"", "x5c\":[\"AAAA\",\"")), HasSubstr("one certificate"));
  EXPECT_THAT(ErrorOf(Foreign("\"x5c\"", "\"y5c\"")), HasSubstr("one certificate"));
  EXPECT_THAT(ErrorOf(Foreign("x5c\":[\"M", "x5c\":[\"*")), HasSubstr("not base64"));
  EXPECT_THAT(ErrorOf(Foreign("x5c\":[\"MII", "x5c\":[\"MIJ")), HasSubstr("not a certificate"));
  EXPECT_THAT(ErrorOf(Foreign(":12", ":-1")), HasSubstr("spiffe_sequence"));
  EXPECT_THAT(ErrorOf(Foreign(":12", ":\"12\"")), HasSubstr("spiffe_sequence"));
  EXPECT_THAT(ErrorOf(Foreign(":300", ":1e12")), HasSubstr("spiffe_refresh_hint"));
}

TEST_F(DocumentTest, RootsAreOfTheTrustDomain) {
  const auto other = ParseTrustBundle(Foreign(), "other.example", "bundle.json");
  EXPECT_THAT(std::string(other.status().message()),
              HasSubstr("keys[0]: signing certificate is for 'spiffe://test.example'"));
  const auto named = Own(R"({"trust_domain":"other.example","authorities":null})");
  EXPECT_THAT(ErrorOf(named), HasSubstr("is the bundle of trust domain 'other.example'"));
}

TEST_F(DocumentTest, ARootWithAnUnknownKeyIsNotWritten) {
  std::string der = *DerOf(sk_X509_value(ReadCertificates(root_, "root.pem")->get(), 0));
  const std::string p256("\x2a\x86\x48\xce\x3d\x03\x01\x07");
  ASSERT_NE(der.find(p256), std::string::npos);
  der[der.find(p256) + p256.size() - 1] = '\x7f';
  const auto bundle = Parse(
      absl::StrCat(R"({"keys":[{"use":"x509-svid","x5c":[")", absl::Base64Escape(der), R"("]}]})"));
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_TRUE(absl::IsInvalidArgument(WriteTrustBundle(*bundle).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(PublicKeyOf(bundle->roots, "root.pem").status()));
}

TEST_F(DocumentTest, BindingsAreNeverLostByMistake) {
  const std::string id(64, 'a');
  const auto with = [&](const std::string& authorities) {
    return Own(R"({"trust_domain":"test.example",)" + authorities + "}");
  };
  EXPECT_FALSE(Parse(with(R"("authorities":null)"))->bindings.has_value());
  EXPECT_TRUE(Parse(with(R"("authorities":[])"))->bindings.has_value());
  const std::string entry = R"({"key_sha256":")" + id + R"(","cluster":"east"})";
  EXPECT_EQ(Parse(with("\"authorities\":[" + entry + "]"))->bindings->clusters.size(), 1);
  const std::pair<std::string, const char*> kBad[] = {
      {R"("authoritys":[])", "no 'authorities'"},
      {R"("authorities":{})", "'authorities' is not a list"},
      {R"("authorities":[1])", "authorities[0]: not an object"},
      {R"("authorities":[{"cluster":"east"}])", "no 'key_sha256'"},
      {R"("authorities":[{"key_sha256":"abc","cluster":"east"}])", "64 hexadecimal"},
      {R"("authorities":[{"key_sha256":")" + id + R"("}])", "no 'cluster'"},
      {R"("authorities":[{"key_sha256":")" + id + R"(","cluster":"a/b"}])", "'a/b'"},
      {"\"authorities\":[" + entry + "," + entry + "]", "bound twice"}};
  for (const auto& [text, why] : kBad) EXPECT_THAT(ErrorOf(with(text)), HasSubstr(why));
  EXPECT_THAT(ErrorOf(Own("[]")), HasSubstr("'tombolo' is not an object"));
  EXPECT_THAT(ErrorOf(Own("{}")), HasSubstr("no 'trust_domain'"));
}

TEST_F(DocumentTest, RevocationsAreReadBackOrRefused) {
  TrustBundle bundle{.trust_domain = kDomain, .roots = root_};
  bundle.revoked = {.ids = {"spiffe://test.example/a"},
                    .serials = {"0a01"},
                    .series = {"4a4b4c4d4e4f5051"},
                    .clusters = {"east"}};
  bundle.tainted.insert(KeyId{7});
  EXPECT_EQ(*Parse(*WriteTrustBundle(bundle)), bundle);
  const auto with = [&](const std::string& member) {
    return Own(R"({"trust_domain":"test.example","authorities":null,)" + member + "}");
  };
  const std::pair<const char*, const char*> kBad[] = {
      {R"("revoked":[])", "tombolo: 'revoked' is not an object"},
      {R"("revoked":{"ids":["x"]})", "ids[0]: "},
      {R"("revoked":{"ids":[1]})", "ids[0]: is not a string"},
      {R"("revoked":{"serials":["0A"]})", "serials[0]: "},
      {R"("revoked":{"serials":["a"]})", "serials[0]: "},
      {R"("revoked":{"serials":[""]})", "serials[0]: "},
      {R"("revoked":{"series":["4a"]})", "series[0]: is not 16 digits"},
      {R"("revoked":{"series":["4A4b4c4d4e4f5051"]})", "series[0]: "},
      {R"("revoked":{"clusters":["a/b"]})", "clusters[0]: "},
      {R"("revoked":{"nodes":[]})", "unknown member 'nodes'"},
      {R"("tainted":["ab"])", "tainted[0]: is not 64 hexadecimal digits"}};
  for (const auto& [text, why] : kBad) EXPECT_THAT(ErrorOf(with(text)), HasSubstr(why)) << text;
}

TEST_F(DocumentTest, FederatedDomainsAreOthersAndBindNothing) {
  const std::string other = *WriteTrustBundle(
      {.trust_domain = "other.example", .roots = Root("other.example"), .bindings = {{}}});
  const auto with = [&](const std::string& name) {
    return Own(R"({"trust_domain":"test.example","authorities":null,"federated":{")" + name +
               "\":" + other + "}}");
  };
  const auto bundle = Parse(with("other.example"));
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  ASSERT_EQ(bundle->federated.size(), 1);
  EXPECT_FALSE(bundle->federated[0].bindings.has_value());
  EXPECT_THAT(ErrorOf(with(kDomain)), HasSubstr("another trust domain"));
  EXPECT_THAT(ErrorOf(with("third.example")), HasSubstr("federated 'third.example': keys[0]"));
  EXPECT_THAT(ErrorOf(with("No Domain")), HasSubstr("federated 'No Domain'"));
}

using BundleCommandTest = testing::OpensslCommandTest;

// As docs/trust-bundle.md tells operators to find it.
TEST_F(BundleCommandTest, OpensslNamesAKeyAsWeDo) {
  const std::string root = Root(kDomain);
  Write("root.pem", root);
  const auto printed =
      Openssl("x509 -in root.pem -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum");
  const KeyId id = PublicKeyOf(root, "root.pem")->id();
  EXPECT_EQ(printed.output.substr(0, 64),
            absl::BytesToHexString({reinterpret_cast<const char*>(id.data()), id.size()}));
}

// Roots of every kind of key, in a document whose JWKs are complete.
TEST_F(BundleCommandTest, WritesKeysOfEachKind) {
  const std::pair<const char*, const char*> kKinds[] = {
      {"-algorithm ed25519", R"("kty":"OKP")"},
      {"-algorithm ec -pkeyopt ec_paramgen_curve:P-384", R"("crv":"P-384")"},
      {"-algorithm rsa -pkeyopt rsa_keygen_bits:2048", R"("e":"AQAB")"}};
  for (const auto& [options, member] : kKinds) {
    ASSERT_EQ(Openssl(absl::StrCat("genpkey ", options, " -out key.pem")).status, 0);
    const std::string root = *CreateRoot(kDomain, Read("key.pem"), Validity::FromNow(hours(1)));
    const auto text = WriteTrustBundle({.trust_domain = kDomain, .roots = root});
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_THAT(*text, HasSubstr(member));
    EXPECT_THAT(*text, Not(HasSubstr("spiffe_refresh_hint")));
    EXPECT_EQ(Parse(*text)->roots, root);
  }
}

}  // namespace
}  // namespace tombolo::tls
