// SPDX-License-Identifier: Apache-2.0
#include "core/grant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "core/join_token.h"
#include "service_accounts.h"

namespace tombolo::ca {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::ServiceAccounts;
using ::testing::StartsWith;

const std::string kDomain = "test.example";
const std::string kNode = "spiffe://test.example/cluster/east/node/n1";
const std::string kWeb = "spiffe://test.example/cluster/east/ns/shop/sa/web";
const std::string kDb = "spiffe://test.example/cluster/east/ns/shop/sa/db";

class GrantTest : public ::testing::Test {
 protected:
  GrantTest() {
    Register("east", east_);
    registrations_["east/n1"] = {kWeb};
    registrations_["east/n2"] = {kDb};
  }

  void Register(const std::string& name, const ServiceAccounts& accounts) {
    ClusterRegistration registration{.issuer = ServiceAccounts::kIssuer,
                                     .jwks = accounts.Jwks(),
                                     .agent_namespace = "tombolo",
                                     .agent_account = "agent"};
    ASSERT_TRUE(Check(registration).ok());
    clusters_[name] = {.registration = registration,
                       .keys = *tls::JwtKeys::Parse(registration.jwks)};
  }

  static Peer Svid(const std::string& id) {
    return {.id = *SpiffeId::Parse(id), .serial = "4a", .not_after = Now() + hours(1)};
  }
  static WallTime Now() { return std::chrono::system_clock::now(); }
  static Credential By(const std::string& id) {
    return {.peer = Svid(id), .token = {}, .join_token = {}};
  }
  static Credential ByToken(const std::string& token) {
    return {.peer = {}, .token = token, .join_token = {}};
  }
  static Credential ByJoin(const std::string& id) {
    Credential credential = ByToken(NewJoinToken());
    credential.join_token =
        *MakeTokenRecord(credential.token, *SpiffeId::Parse(id), kDomain, Now() + hours(1));
    return credential;
  }
  static Wish For(const std::string& id) { return {.uris = {id}, .renew = false}; }

  absl::StatusOr<Grant> Ask(const Credential& credential, const Wish& wish = {}) const {
    return Decide(credential, wish,
                  {.trust_domain = kDomain,
                   .revoked = revoked_,
                   .clusters = clusters_,
                   .registrations = registrations_},
                  Now());
  }
  void ExpectRefused(absl::StatusCode code, const std::string& why, const Credential& credential,
                     const Wish& wish = {}) const {
    const auto grant = Ask(credential, wish);
    EXPECT_EQ(grant.status().code(), code) << grant.status();
    EXPECT_THAT(std::string(grant.status().message()), HasSubstr(why));
  }
  void ExpectUnproven(const std::string& why, const Credential& credential,
                      const Wish& wish = {}) const {
    ExpectRefused(absl::StatusCode::kUnauthenticated, why, credential, wish);
  }
  void ExpectDenied(const std::string& why, const Credential& credential,
                    const Wish& wish = {}) const {
    ExpectRefused(absl::StatusCode::kPermissionDenied, why, credential, wish);
  }

  ServiceAccounts east_;
  tls::Revocations revoked_;
  RegisteredClusters clusters_;
  Registrations registrations_;
};

TEST_F(GrantTest, NobodyGetsNothing) {
  ExpectUnproven("no credential", {});
  ExpectUnproven("no credential", {}, For(kWeb));
  ExpectUnproven("no client certificate", ByToken("x"), {.uris = {}, .renew = true});
}

TEST_F(GrantTest, AJoinTokenPaysForItsIdentity) {
  const Credential credential = ByJoin(kNode);
  for (const Wish& wish : {Wish{}, For(kNode)}) {
    const auto grant = Ask(credential, wish);
    ASSERT_TRUE(grant.ok()) << grant.status();
    EXPECT_EQ(grant->id.text(), kNode);
    EXPECT_EQ(grant->cluster, "east");
    EXPECT_EQ(grant->node, "east/n1");
    EXPECT_EQ(grant->payment->digest, JoinTokenDigest(credential.token));
    EXPECT_EQ(grant->payment->kind, Kind::kNode);
    EXPECT_EQ(grant->payment->subject, kNode);
  }
  const auto workload = Ask(ByJoin(kWeb));
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_EQ(workload->id.text(), kWeb);
  EXPECT_EQ(workload->payment->kind, Kind::kWorkload);
  ExpectDenied("is for '" + kNode + "', not for '" + kWeb, credential, For(kWeb));
}

// It speaks for itself, and not for workloads as a node does.
TEST_F(GrantTest, AGatewayGetsItselfAndNothingElse) {
  const std::string gateway = "spiffe://test.example/cluster/east/gateway/gw-1";
  const auto joined = Ask(ByJoin(gateway));
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_EQ(joined->id.text(), gateway);
  EXPECT_EQ(joined->cluster, "east");
  EXPECT_EQ(joined->node, "east/gateway/gw-1");
  const auto renewed = Ask(By(gateway), {.uris = {}, .renew = true});
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(renewed->id.text(), gateway);
  EXPECT_EQ(renewed->node, "east/gateway/gw-1");
  registrations_["east/gateway/gw-1"] = {kWeb};
  ExpectDenied("not for", By(gateway), For(kWeb));
  ExpectDenied("not for", By(gateway), For(kNode));
  Credential beside = ByJoin(kWeb);
  beside.peer = Svid(gateway);
  ExpectDenied("only a node may show a token", beside);
  revoked_.ids = {gateway};
  ExpectDenied("revoked", ByJoin(gateway));
  ExpectDenied("revoked", By(gateway), {.uris = {}, .renew = true});
}

TEST_F(GrantTest, AJoinTokenIsKnownUnspentAndInTime) {
  ExpectUnproven("join token is not known", ByToken(NewJoinToken()));
  Credential credential = ByJoin(kNode);
  credential.join_token->spent = true;
  ExpectUnproven("has been used already", credential);
  credential = ByJoin(kNode);
  credential.join_token->expires = Now() - seconds(1);
  ExpectUnproven("has expired", credential);
}

TEST_F(GrantTest, ASpentJoinTokenPaysAgainForItsKey) {
  Credential credential = ByJoin(kNode);
  credential.join_token->spent = true;
  credential.join_token->key = "k1";
  ExpectUnproven("has been used already", credential);
  credential.key = "k2";
  ExpectUnproven("has been used already", credential);
  credential.key = "k1";
  const auto grant = Ask(credential);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->payment->key, "k1");
  credential.join_token->serial = "4c";
  EXPECT_TRUE(Ask(credential).ok());
  revoked_.serials.insert("4c");
  ExpectDenied("revoked", credential);
  credential.join_token->serial = "4d";
  credential.join_token->expires = Now() - seconds(1);
  ExpectUnproven("has expired", credential);
}

TEST_F(GrantTest, ATokenIsForNothingElse) {
  const std::string text = NewJoinToken();
  for (const char* id : {"spiffe://other.example/cluster/east/node/n1", "spiffe://test.example/ca",
                         "spiffe://test.example", "spiffe://test.example/x"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        MakeTokenRecord(text, *SpiffeId::Parse(id), kDomain, Now()).status()));
  }
  Credential credential = ByJoin(kNode);
  credential.join_token->subject = "spiffe://test.example/ca";
  ExpectDenied("for nothing that can be issued", credential);
}

TEST(JoinTokenTest, IsRandomAndKeptAsADigest) {
  const std::string text = NewJoinToken();
  EXPECT_THAT(text, StartsWith("tbj_"));
  EXPECT_EQ(text.size(), 4u + 43u) << "256 bits in base64url";
  EXPECT_NE(text, NewJoinToken());
  EXPECT_TRUE(IsJoinToken(text));
  EXPECT_EQ(JoinTokenDigest(text).size(), 64u);
}

TEST_F(GrantTest, AServiceAccountIsAWorkload) {
  const auto grant = Ask(ByToken(east_.Token({})));
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->id.text(), kWeb);
  EXPECT_EQ(grant->cluster, "east");
  EXPECT_EQ(grant->node, "east/n1");
  EXPECT_FALSE(grant->payment);
  EXPECT_EQ(grant->requester, "service account token of east:shop/web");
  EXPECT_TRUE(Ask(ByToken(east_.Token({})), For(kWeb)).ok());
  EXPECT_TRUE(Ask(ByToken(east_.Token({.node = ""}))).ok()) << "Kubernetes before 1.30";
  ExpectDenied("is for '" + kWeb + "', not for '" + kDb, ByToken(east_.Token({})), For(kDb));
}

TEST_F(GrantTest, TheAgentsAccountIsItsNode) {
  const auto grant = Ask(ByToken(east_.Token({.ns = "tombolo", .account = "agent"})));
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->id.text(), kNode);
  ExpectDenied("bound to no node",
               ByToken(east_.Token({.ns = "tombolo", .account = "agent", .node = ""})));
  EXPECT_EQ(Ask(ByToken(east_.Token({.ns = "other", .account = "agent"})))->id.text(),
            "spiffe://test.example/cluster/east/ns/other/sa/agent");
}

TEST_F(GrantTest, AServiceAccountTokenHasToHold) {
  ExpectDenied("not bound to a pod", ByToken(east_.Token({.pod = ""})));
  ExpectUnproven("not for the audience 'tombolo-ca'", ByToken(east_.Token({.audience = "vault"})));
  ExpectUnproven("has expired", ByToken(east_.Token({.expires_in = seconds(-60)})));
  ExpectUnproven("no registered cluster has the issuer 'https://other'",
                 ByToken(east_.Token({.issuer = "https://other"})));
  ExpectUnproven("not three parts", ByToken("rubbish"));
  const ServiceAccounts stranger;
  ExpectUnproven("signature is not by its key", ByToken(stranger.Token({})));
  const ServiceAccounts newer("k2");
  ExpectUnproven("", ByToken(newer.Token({})));
}

TEST_F(GrantTest, ClustersMayShareAnIssuer) {
  const ServiceAccounts west;
  Register("west", west);
  EXPECT_EQ(Ask(ByToken(east_.Token({})))->cluster, "east");
  const auto grant = Ask(ByToken(west.Token({})));
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->id.text(), "spiffe://test.example/cluster/west/ns/shop/sa/web");
  Register("west", east_);
  ExpectUnproven("holds for two clusters", ByToken(east_.Token({})));
}

TEST_F(GrantTest, ANodeRenewsItselfAndItsWorkloads) {
  const auto itself = Ask(By(kNode));
  ASSERT_TRUE(itself.ok()) << itself.status();
  EXPECT_EQ(itself->id.text(), kNode);
  EXPECT_EQ(itself->node, "east/n1");
  const auto workload = Ask(By(kNode), For(kWeb));
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_EQ(workload->id.text(), kWeb);
  EXPECT_EQ(workload->node, "east/n1");
  ExpectDenied("the directory has no workload '" + kDb + "' on node east/n1", By(kNode), For(kDb));
  ExpectDenied("no workload", By("spiffe://test.example/cluster/east/node/n3"), For(kWeb));
  ExpectDenied("no workload", By("spiffe://test.example/cluster/west/node/n1"), For(kWeb));
  ExpectDenied("no workload", By(kNode), For("spiffe://test.example/cluster/east/node/n2"));
  ExpectDenied("no workload", By(kNode), For("spiffe://test.example/ca"));
}

TEST_F(GrantTest, ARenewalIsForTheOwnIdentity) {
  const Wish renew{.uris = {}, .renew = true};
  EXPECT_EQ(Ask(By(kNode), renew)->id.text(), kNode);
  EXPECT_EQ(Ask(By(kWeb), {.uris = {kWeb}, .renew = true})->id.text(), kWeb);
  ExpectDenied("not for '" + kWeb, By(kNode), {.uris = {kWeb}, .renew = true});
}

TEST_F(GrantTest, AWorkloadGetsItselfAndNothingElse) {
  Credential credential = By(kWeb);
  credential.peer->node = "east/n1";
  const auto grant = Ask(credential);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->id.text(), kWeb);
  EXPECT_EQ(grant->node, "east/n1") << "as its certificate's record says";
  EXPECT_TRUE(Ask(By(kWeb), For(kWeb)).ok());
  ExpectDenied("not for '" + kDb, By(kWeb), For(kDb));
  ExpectDenied("not for '" + kNode, By(kWeb), For(kNode));
  ExpectDenied("is no node", {.peer = Svid(kWeb), .token = east_.Token({}), .join_token = {}});
}

TEST_F(GrantTest, OtherIdentitiesAreNotRenewed) {
  ExpectDenied("neither a node, a gateway nor a workload", By("spiffe://test.example/ca"));
  ExpectDenied("neither a node, a gateway nor a workload", By("spiffe://test.example/tool"));
  ExpectDenied("of another trust domain", By("spiffe://other.example/cluster/east/node/n1"));
}

TEST_F(GrantTest, ATokenBesideANodesSvidIsEvidenceForThatNode) {
  Credential credential{
      .peer = Svid(kNode), .token = east_.Token({.account = "db"}), .join_token = {}};
  const auto grant = Ask(credential, For(kDb));
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->id.text(), kDb) << "the directory does not have it there, the token does";
  EXPECT_EQ(grant->node, "east/n1");
  credential.token = east_.Token({.node = "n2"});
  ExpectDenied("bound to node east/n2, not to east/n1", credential);
  credential.token = east_.Token({.node = ""});
  ExpectDenied("bound to no node", credential);
  credential.token = east_.Token({});
  credential.peer = Svid("spiffe://test.example/cluster/west/node/n1");
  ExpectDenied("not to west/n1", credential);
  credential.token = "rubbish";
  ExpectUnproven("token", credential);
}

TEST_F(GrantTest, ANodeMayShowAJoinTokenForAWorkload) {
  Credential credential = ByJoin(kDb);
  credential.peer = Svid(kNode);
  const auto grant = Ask(credential);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->id.text(), kDb);
  EXPECT_EQ(grant->node, "east/n1");
  const std::string elsewhere = "spiffe://test.example/cluster/west/ns/shop/sa/db";
  credential = ByJoin(elsewhere);
  credential.peer = Svid(kNode);
  ExpectDenied("'" + elsewhere + "' is of another cluster than node east/n1", credential);
}

TEST_F(GrantTest, WhoeverIsRevokedGetsNothing) {
  revoked_.ids.insert(kNode);
  ExpectDenied("revoked", By(kNode));
  ExpectDenied("revoked", By(kNode), For(kWeb));
  ExpectDenied("revoked", ByJoin(kNode));
  ExpectDenied("revoked", ByToken(east_.Token({.ns = "tombolo", .account = "agent"})));
  ExpectDenied("revoked", ByToken(east_.Token({})));  // runs there
  Credential renewing = By(kWeb);
  renewing.peer->node = "east/n1";
  ExpectDenied("revoked", renewing);
  EXPECT_TRUE(Ask(By("spiffe://test.example/cluster/east/node/n2")).ok());
  revoked_ = {};
  revoked_.ids.insert(kWeb);
  ExpectDenied("revoked", By(kNode), For(kWeb));
  ExpectDenied("revoked", ByToken(east_.Token({})));
  ExpectDenied("revoked", ByJoin(kWeb));
  EXPECT_TRUE(Ask(By(kNode)).ok());
  revoked_ = {};
  revoked_.serials.insert("4a");
  ExpectDenied("revoked", By(kNode));
  revoked_ = {};
  revoked_.clusters.insert("east");
  ExpectDenied("revoked", By(kNode));
  ExpectDenied("revoked", ByToken(east_.Token({})));
}

TEST_F(GrantTest, AnOldConnectionsCertificateHasToHoldNow) {
  Credential credential = By(kNode);
  credential.peer->not_after = Now() - seconds(1);
  ExpectUnproven("has expired", credential);
}

TEST_F(GrantTest, ARequestNamesOneIdentityOrNone) {
  ExpectRefused(absl::StatusCode::kInvalidArgument, "more than one URI", By(kNode),
                {.uris = {kNode, kWeb}, .renew = false});
  ExpectRefused(absl::StatusCode::kInvalidArgument, "'http://x' is not a SPIFFE ID", By(kNode),
                For("http://x"));
  ExpectRefused(absl::StatusCode::kInvalidArgument, "'\\n\\x00", By(kNode),
                For(std::string("\n\0", 2)));
}

}  // namespace
}  // namespace tombolo::ca
