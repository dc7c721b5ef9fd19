// SPDX-License-Identifier: Apache-2.0
// That an authority in wrong hands reaches no further than its cluster.
#include "tls/cluster_bindings.h"

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "loop.h"
#include "raw_peer.h"
#include "stream_pair.h"
#include "testing/cluster_pki.h"
#include "tls/handshake.h"
#include "tls/handshake_failure.h"

namespace tombolo::tls {
namespace {

using testing::ClusterPki;
using ::testing::HasSubstr;
using testing::Loop;
using testing::RawPeer;
using testing::TcpPair;

constexpr char kEast[] = "/cluster/east/ns/shop/sa/web";
constexpr char kWest[] = "/cluster/west/ns/shop/sa/web";

struct Case {
  const char* signer;
  const char* path;
  bool allowed;
};
constexpr Case kCases[] = {{"east", kEast, true},
                           {"east", "/cluster/east/node/n1", true},
                           {"east", "/cluster/east/anything", true},
                           {"west", kWest, true},
                           {"", "/ca", true},
                           {"", "/other", true},
                           {"east", kWest, false},
                           {"west", kEast, false},
                           {"east", "/ca", false},
                           {"east", "/cluster/east-2/ns/shop/sa/web", false},
                           {"east", "/cluster/eas/ns/shop/sa/web", false},
                           {"east", "/cluster", false},
                           {"east", "/cluster/east", false},
                           {"east", "/cluster/Easter/east/x", false},
                           {"", kEast, false},
                           {"", "/cluster", false}};

class ClusterBindingsTest : public ::testing::Test {
 protected:
  ClusterBindingsTest() { std::signal(SIGPIPE, SIG_IGN); }

  // How our server judges a client with this leaf.
  absl::Status Serve(const Issuer& signer, const std::string& path, const TrustBundle& bundle) {
    const CredentialsPtr server = *Credentials::FromPem(
        ClusterPki::Issue(pki_.issuer("west"), "/cluster/west/ns/shop/sa/server", bundle));
    const Credentials::Pem pem = ClusterPki::Issue(signer, path, bundle);
    RawPeer::Options options;
    options.chain = pem.chain;
    options.key = pem.key;
    auto [ours, theirs] = TcpPair();
    RawPeer peer(std::move(theirs), std::move(options));
    return loop_
        .Run(HandshakeAsServer(
            loop_.Adopt(std::move(ours)), [&](absl::string_view) { return server; }, records_,
            After(std::chrono::seconds(30))))
        .status();
  }

  ClusterPki pki_;
  Loop loop_;
  net::BufferPool pool_;
  RecordSettings records_{pool_, testing::KernelUnderTest()};
};

TEST_F(ClusterBindingsTest, HoldForOwnCredentials) {
  for (const Case& one : kCases) {
    const auto credentials =
        Credentials::FromPem(ClusterPki::Issue(pki_.issuer(one.signer), one.path, pki_.Bundle()));
    EXPECT_EQ(credentials.ok(), one.allowed) << one.signer << " " << one.path;
    if (one.allowed) continue;
    EXPECT_EQ(ReasonOf(credentials.status()), HandshakeFailure::kWrongCluster);
    EXPECT_THAT(std::string(credentials.status().message()), HasSubstr(one.path));
  }
}

TEST_F(ClusterBindingsTest, HoldForPeers) {
  for (const Case& one : kCases) {
    const absl::Status status = Serve(pki_.issuer(one.signer), one.path, pki_.Bundle());
    EXPECT_EQ(status.ok(), one.allowed) << one.signer << " " << one.path << ": " << status;
    if (one.allowed) continue;
    EXPECT_EQ(ReasonOf(status), HandshakeFailure::kWrongCluster);
    EXPECT_TRUE(absl::IsUnauthenticated(status));
  }
}

TEST_F(ClusterBindingsTest, ASignerThatIsNotListedSignsNothing) {
  const absl::Status by_root = Serve(pki_.root_issuer(), kEast, pki_.Bundle());
  EXPECT_EQ(ReasonOf(by_root), HandshakeFailure::kWrongCluster);
  EXPECT_THAT(std::string(by_root.message()), HasSubstr("which is bound to no cluster"));
  EXPECT_FALSE(Serve(pki_.root_issuer(), "/ca", pki_.Bundle()).ok());
  TrustBundle none = pki_.Bundle();
  none.bindings->clusters.clear();
  EXPECT_FALSE(Credentials::FromPem(ClusterPki::Issue(pki_.issuer("east"), kEast, none)).ok())
      << "an empty list is a list";
}

TEST_F(ClusterBindingsTest, WithoutAListEveryAuthorityIsTrusted) {
  TrustBundle unbound = pki_.Bundle();
  unbound.bindings.reset();
  EXPECT_TRUE(Serve(pki_.issuer("east"), kWest, unbound).ok());
  EXPECT_TRUE(Serve(pki_.root_issuer(), kEast, unbound).ok());
}

// The same key under two certificates is one authority: a new certificate changes no binding.
TEST_F(ClusterBindingsTest, BindTheKeyAndNotTheCertificate) {
  const SigningKey key = *SigningKey::FromPem(*GenerateKey(), "key");
  TrustBundle bundle = pki_.Bundle();
  bundle.bindings->clusters[key.public_key().id()] = "east";
  for (const char* claimed : {"east", "west"}) {
    const std::string pem = *pki_.root_issuer().IssueIntermediate(
        {.key = key.public_key(),
         .cluster = claimed,
         .validity = Validity::FromNow(std::chrono::hours(2))});
    const auto issuer = *Issuer::FromParts({.chain = pem, .chain_name = "i.pem", .key = key});
    EXPECT_TRUE(Credentials::FromPem(ClusterPki::Issue(*issuer, kEast, bundle)).ok()) << claimed;
    EXPECT_FALSE(Credentials::FromPem(ClusterPki::Issue(*issuer, kWest, bundle)).ok()) << claimed;
  }
}

TEST_F(ClusterBindingsTest, WhoeverIsRevokedIsRefused) {
  TrustBundle bundle = pki_.Bundle();
  bundle.revoked.ids.insert(absl::StrCat("spiffe://", ClusterPki::kDomain, kEast));
  const absl::Status revoked = Serve(pki_.issuer("east"), kEast, bundle);
  EXPECT_EQ(ReasonOf(revoked), HandshakeFailure::kRevoked);
  EXPECT_TRUE(absl::IsUnauthenticated(revoked));
  EXPECT_THAT(std::string(revoked.message()), HasSubstr("'spiffe://test.example/cluster/east"));
  EXPECT_TRUE(Serve(pki_.issuer("east"), "/cluster/east/ns/shop/sa/web2", bundle).ok());

  const auto own = Credentials::FromPem(ClusterPki::Issue(pki_.issuer("east"), kEast, bundle));
  EXPECT_EQ(ReasonOf(own.status()), HandshakeFailure::kRevoked);
  bundle.revoked = {.clusters = {"east"}};
  EXPECT_FALSE(Serve(pki_.issuer("east"), "/cluster/east/node/n1", bundle).ok());
}

TEST_F(ClusterBindingsTest, OneCertificateCanBeRevoked) {
  TrustBundle bundle = pki_.Bundle();
  Credentials::Pem pem = ClusterPki::Issue(pki_.issuer("east"), kEast, bundle);
  bundle.revoked.serials.insert((*Credentials::FromPem(pem))->serial());
  pem.bundle = *WriteTrustBundle(bundle);
  EXPECT_EQ(ReasonOf(Credentials::FromPem(pem).status()), HandshakeFailure::kRevoked);
  EXPECT_TRUE(Serve(pki_.issuer("east"), kEast, bundle).ok()) << "another one of the same";
}

}  // namespace
}  // namespace tombolo::tls
