// SPDX-License-Identifier: Apache-2.0
#include "tls/issuer.h"

#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/openssl_command.h"
#include "tls/certificate_builder.h"
#include "tls/credentials.h"
#include "tls/csr.h"

namespace tombolo::tls {
namespace {

using std::chrono::hours;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kDomain[] = "test.example";

SigningKey NewKey() { return *SigningKey::FromPem(*GenerateKey(), "key"); }
std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

class IssuerTest : public testing::OpensslCommandTest {
 protected:
  IssuerTest()
      : root_key_(NewKey()),
        root_pem_(*CreateRoot(kDomain, root_key_, Validity::FromNow(hours(24)))),
        root_(*Issuer::FromParts({.chain = root_pem_, .chain_name = "root.pem", .key = root_key_})),
        east_key_(NewKey()),
        east_pem_(*root_->IssueIntermediate({.key = east_key_.public_key(),
                                             .cluster = "east",
                                             .validity = Validity::FromNow(hours(12))})),
        east_(Bound(east_pem_, east_key_, "east")) {}

  static std::unique_ptr<Issuer> Bound(const std::string& chain, const SigningKey& key,
                                       const std::string& cluster) {
    return *Issuer::FromParts(
        {.chain = chain, .chain_name = "chain.pem", .key = key, .cluster = cluster});
  }
  Leaf LeafFor(const SpiffeId& id) const {
    return {.id = id, .key = NewKey().public_key(), .validity = Validity::FromNow(hours(1))};
  }
  // `east_` with another chain, key or root.
  ForeignIntermediate East() const {
    return {.chain = east_pem_,
            .roots = root_pem_,
            .chain_name = "int.pem",
            .roots_name = "roots.pem",
            .trust_domain = kDomain,
            .cluster = "east",
            .key = east_key_};
  }

  const SpiffeId web_ = *SpiffeId::ForWorkload(kDomain, "east", "shop", "web");
  const SpiffeId ca_ = *SpiffeId::ForAuthority(kDomain);
  SigningKey root_key_;
  std::string root_pem_;
  std::unique_ptr<Issuer> root_;
  SigningKey east_key_;
  std::string east_pem_;
  std::unique_ptr<Issuer> east_;
};

TEST_F(IssuerTest, OpensslVerifiesEveryChainStrictly) {
  const std::string by_root = *root_->IssueLeaf(LeafFor(web_));
  ExpectVerifies(by_root, "", root_pem_);
  const std::string by_east = *east_->IssueLeaf(LeafFor(web_));
  ExpectVerifies(by_east, east_->chain(), root_pem_);
  Write("east.pem", east_pem_);
  const auto text = Openssl("x509 -in east.pem -noout -text");
  EXPECT_THAT(text.output, HasSubstr("CA:TRUE, pathlen:0"));
  EXPECT_THAT(text.output, HasSubstr("Certificate Sign, CRL Sign"));
  EXPECT_THAT(text.output, HasSubstr("URI:spiffe://test.example\n"));
  EXPECT_THAT(text.output, HasSubstr("OU = east"));
}

TEST_F(IssuerTest, EveryKindOfKeySigns) {
  for (const char* options :
       {"genpkey -algorithm ed25519", "genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-521",
        "genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-384",
        "genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:2048"}) {
    ASSERT_EQ(Openssl(std::string(options) + " -out key.pem").status, 0);
    const auto key = SigningKey::FromUri("file:" + directory_ + "/key.pem");
    ASSERT_TRUE(key.ok()) << key.status();
    const auto root = CreateRoot(kDomain, *key, Validity::FromNow(hours(2)));
    ASSERT_TRUE(root.ok()) << root.status();
    const auto issuer = Issuer::FromParts({.chain = *root, .chain_name = "root.pem", .key = *key});
    ASSERT_TRUE(issuer.ok()) << issuer.status();
    ExpectVerifies(*(*issuer)->IssueLeaf(LeafFor(web_)), "", *root);
  }
}

TEST_F(IssuerTest, TheIssuerDecidesEverythingButTheKey) {
  const std::string key = *GenerateKey();
  const Csr csr = *ParseCsr(*MakeCsr(key, *SpiffeId::Parse("spiffe://other.example/wish")));
  Leaf leaf = LeafFor(web_);
  leaf.key = csr.key;
  leaf.serial = *Serial::FromHex("4123456789abcdef0123456789abcdef");
  Write("leaf.pem", *east_->IssueLeaf(leaf));
  const auto text = Openssl("x509 -in leaf.pem -noout -text");
  EXPECT_THAT(text.output, HasSubstr("URI:spiffe://test.example/cluster/east/ns/shop/sa/web\n"));
  EXPECT_THAT(text.output, HasSubstr("Subject: O = Tombolo\n"));
  EXPECT_THAT(text.output, HasSubstr("41:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef"));
  EXPECT_THAT(text.output, Not(HasSubstr("wish")));
  const auto credentials = Credentials::FromPem({.chain = Read("leaf.pem") + east_->chain(),
                                                 .key = key,
                                                 .bundle = root_pem_,
                                                 .chain_name = "chain.pem",
                                                 .key_name = "key.pem",
                                                 .bundle_name = "bundle.pem"});
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ((*credentials)->serial(), leaf.serial.hex());
}

TEST_F(IssuerTest, OnlyTheAuthorityHasHosts) {
  Leaf leaf = LeafFor(ca_);
  leaf.hosts = {"ca.test.example", "10.0.0.1", "fd00::1"};
  const auto made = root_->IssueLeaf(leaf);
  ASSERT_TRUE(made.ok()) << made.status();
  ExpectVerifies(*made, "", root_pem_);
  const auto text = Openssl("x509 -in v-leaf.pem -noout -text");
  EXPECT_THAT(text.output,
              HasSubstr("URI:spiffe://test.example/ca, DNS:ca.test.example, IP Address:10.0.0.1, "
                        "IP Address:FD00:0:0:0:0:0:0:1"));
  for (const std::string bad : {"", "a b", "a,b", "a,URI:spiffe://test.example/x", "-a", "a..b",
                                "*.a", "1.2.3.4,DNS:x", "a:1", "\xc3\xa4", "@names"}) {
    leaf.hosts = {bad};
    EXPECT_TRUE(absl::IsInvalidArgument(root_->IssueLeaf(leaf).status())) << bad;
  }
  leaf = LeafFor(web_);
  leaf.hosts = {"web.test.example"};
  EXPECT_THAT(MessageOf(root_->IssueLeaf(leaf).status()), HasSubstr("may not have the names"));
}

TEST_F(IssuerTest, ABoundIssuerSignsForItsClusterOnly) {
  EXPECT_TRUE(east_->IssueLeaf(LeafFor(*SpiffeId::ForNode(kDomain, "east", "n1"))).ok());
  for (const char* other :
       {"spiffe://test.example/cluster/west/ns/shop/sa/web",
        "spiffe://test.example/cluster/east-2/ns/shop/sa/web", "spiffe://test.example/ca",
        "spiffe://test.example/a", "spiffe://test.example/cluster/east",
        "spiffe://test.example/cluster"}) {
    EXPECT_TRUE(
        absl::IsPermissionDenied(east_->IssueLeaf(LeafFor(*SpiffeId::Parse(other))).status()))
        << other;
  }
  const auto own = Bound(east_pem_, east_key_, "");
  EXPECT_TRUE(own->IssueLeaf(LeafFor(ca_)).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(own->IssueLeaf(LeafFor(web_)).status()));
}

TEST_F(IssuerTest, AnIntermediateSignsNoAuthority) {
  const Intermediate below{
      .key = NewKey().public_key(), .cluster = "east", .validity = Validity::FromNow(hours(1))};
  EXPECT_TRUE(absl::IsFailedPrecondition(east_->IssueIntermediate(below).status()));
  const auto unbound =
      Issuer::FromParts({.chain = east_pem_, .chain_name = "east.pem", .key = east_key_});
  EXPECT_TRUE(absl::IsFailedPrecondition((*unbound)->IssueIntermediate(below).status()));
}

TEST_F(IssuerTest, NothingOutlivesItsIssuer) {
  Leaf leaf = LeafFor(web_);
  leaf.validity = Validity::FromNow(hours(13));
  EXPECT_TRUE(absl::IsFailedPrecondition(east_->IssueLeaf(leaf).status()));
  leaf.validity = {.not_before = leaf.validity.not_after, .not_after = leaf.validity.not_before};
  EXPECT_TRUE(absl::IsInvalidArgument(east_->IssueLeaf(leaf).status()));
  Intermediate west{
      .key = NewKey().public_key(), .cluster = "west", .validity = Validity::FromNow(hours(25))};
  EXPECT_TRUE(absl::IsFailedPrecondition(root_->IssueIntermediate(west).status()));
  west.validity = Validity::FromNow(hours(1));
  for (const std::string& bad : {std::string("a/b"), std::string("a b"), std::string(64, 'a')}) {
    west.cluster = bad;
    EXPECT_TRUE(absl::IsInvalidArgument(root_->IssueIntermediate(west).status())) << bad;
  }
}

TEST_F(IssuerTest, TheKeyMustBeTheCertificates) {
  const auto issuer =
      Issuer::FromParts({.chain = east_pem_, .chain_name = "east.pem", .key = root_key_});
  EXPECT_THAT(MessageOf(issuer.status()), HasSubstr("signing key: not the key of east.pem"));
}

TEST_F(IssuerTest, InstallsAnIntermediateOfItsOwnRoot) {
  const auto issuer = InstallIntermediate(East());
  ASSERT_TRUE(issuer.ok()) << issuer.status();
  ExpectVerifies(*(*issuer)->IssueLeaf(LeafFor(web_)), (*issuer)->chain(), root_pem_);
  EXPECT_TRUE(absl::IsPermissionDenied((*issuer)->IssueLeaf(LeafFor(ca_)).status()));
}

TEST_F(IssuerTest, InstallsWhatOpensslSigned) {
  const auto csr = MakeIntermediateCsr(kDomain, "east", east_key_);
  ASSERT_TRUE(csr.ok()) << csr.status();
  Write("int.csr", *csr);
  ASSERT_EQ(Openssl("req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 2 "
                    "-subj /O=Company -addext keyUsage=critical,keyCertSign,cRLSign")
                .status,
            0);
  const auto sign = [&](const std::string& extensions) {
    Write("int.ext", "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n" + extensions);
    const auto made = Openssl(
        "x509 -req -in int.csr -CA root.pem -CAkey root.key -days 1 "
        "-out int.pem -extfile int.ext");
    EXPECT_EQ(made.status, 0) << made.output;
    ForeignIntermediate foreign = East();
    foreign.chain = Read("int.pem");
    foreign.roots = Read("root.pem");
    return InstallIntermediate(foreign);
  };
  const std::string constraints = "basicConstraints=critical,CA:TRUE,pathlen:0\n";
  const std::string usage = "keyUsage=critical,keyCertSign,cRLSign\n";
  const auto good = sign(constraints + usage);
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ((*good)->trust_domain(), kDomain) << "though the certificate does not say so";
  ExpectVerifies(*(*good)->IssueLeaf(LeafFor(web_)), (*good)->chain(), Read("root.pem"));
  EXPECT_TRUE(sign(constraints + usage + "subjectAltName=URI:spiffe://test.example\n").ok());

  const std::pair<std::string, const char*> kBad[] = {
      {"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n", "is not a CA"},
      {"basicConstraints=critical,CA:TRUE\n" + usage, "path length"},
      {"basicConstraints=critical,CA:TRUE,pathlen:1\n" + usage, "path length"},
      {constraints + "keyUsage=critical,cRLSign\n", "lacks keyCertSign"},
      {constraints, "lacks keyCertSign"},
      {constraints + "keyUsage=critical,keyCertSign\n", "lacks cRLSign"},
      {constraints + usage + "extendedKeyUsage=serverAuth\n", "extended key usage"},
      {constraints + usage + "subjectAltName=URI:spiffe://other.example\n", "other.example"},
      {constraints + usage + "subjectAltName=URI:spiffe://test.example/a\n", "test.example/a"}};
  for (const auto& [extensions, why] : kBad) {
    const auto bad = sign(extensions);
    EXPECT_TRUE(absl::IsInvalidArgument(bad.status())) << bad.status();
    EXPECT_THAT(MessageOf(bad.status()), HasSubstr("int.pem: "));
    EXPECT_THAT(MessageOf(bad.status()), HasSubstr(why));
  }
}

TEST_F(IssuerTest, RefusesAnIntermediateOfSomebodyElse) {
  ForeignIntermediate other_key = East();
  other_key.key = NewKey();
  EXPECT_THAT(MessageOf(InstallIntermediate(other_key).status()),
              HasSubstr("int.pem: is not the certificate of the signing key"));
  ForeignIntermediate other_root = East();
  other_root.roots = *CreateRoot(kDomain, NewKey(), Validity::FromNow(hours(1)));
  EXPECT_THAT(MessageOf(InstallIntermediate(other_root).status()),
              HasSubstr("int.pem: against roots.pem: unable to get local issuer"));
  ForeignIntermediate other_domain = East();
  other_domain.trust_domain = "other.example";
  EXPECT_THAT(MessageOf(InstallIntermediate(other_domain).status()), HasSubstr("other.example"));
  const WallTime now = std::chrono::system_clock::now();
  ForeignIntermediate expired = East();
  expired.chain = *root_->IssueIntermediate(
      {.key = east_key_.public_key(),
       .cluster = "east",
       .validity = {.not_before = now - hours(2), .not_after = now - hours(1)}});
  EXPECT_THAT(MessageOf(InstallIntermediate(expired).status()), HasSubstr("has expired"));
}

}  // namespace
}  // namespace tombolo::tls
