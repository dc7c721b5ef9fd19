// SPDX-License-Identifier: Apache-2.0
// Whoever asks with a certificate: is it good now, by the trust that signs?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authority_service_case.h"

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;

using AuthorityCallersTest = AuthorityServiceCase;

TEST_F(AuthorityCallersTest, WhoeverIsRevokedGetsNothingFromThenOn) {
  ASSERT_TRUE(replica_->Enrol(By(Csr(kNode), kNode)).ok());
  Revoke(Kind::kNode, kNode);
  // Whether the replica has seen it or not.
  const auto at_once = replica_->Enrol(By(Csr(kNode), kNode));
  EXPECT_FALSE(at_once.ok());
  AwaitReplica();
  // Its ledger has not written since, and has to notice that others have.
  EXPECT_TRUE(replica_->Enrol(By(Csr(kOther), kOther)).ok());
  ExpectRefused(absl::StatusCode::kPermissionDenied, "revoked", By(Csr(kNode), kNode));
  EXPECT_EQ(Events("certificate issued").size(), 2u + 1u /* its own */ + (at_once.ok() ? 1u : 0u));
}

TEST_F(AuthorityCallersTest, AReplicaThatIsBehindIssuesNothing) {
  replica_.reset();
  Replica slow(*SqliteStore::Open({.path = directory_ / "ca.db"}), keys_,
               directory_ / "directory.yaml", {});
  slow.service.reset();
  slow.registry = *Registry::Start(
      store_, *slow.ledger,
      {.trust_domain = kDomain, .keys = keys_, .interval = std::chrono::hours(1)}, nullptr);
  slow.service = std::make_unique<AuthorityService>(store_, *slow.ledger, *slow.registry,
                                                    AuthorityService::Options{});
  ASSERT_TRUE(slow.Enrol(By(Csr(kNode), kNode)).ok());
  std::this_thread::sleep_for(milliseconds(100));  // past the first look of its Changes
  const CertificateRequest request = By(Csr(kNode), kNode);
  Revoke(Kind::kWorkload, kWeb);
  const auto enrolled = slow.Enrol(request);
  EXPECT_TRUE(absl::IsUnavailable(enrolled.status())) << enrolled.status();
  slow.service.reset();
}

TEST_F(AuthorityCallersTest, ACallerIsJudgedByTheTrustThatSigns) {
  const CertificateRequest before = By(Csr(kNode), kNode);
  AddCluster("west");
  AwaitReplica();
  ExpectRefused(absl::StatusCode::kUnavailable, "judged by another trust bundle", before);
  const CertificateRequest after = By(Csr(kNode), kNode);
  Revoke(Kind::kWorkload, kWeb);
  AwaitReplica();
  EXPECT_TRUE(replica_->Enrol(after).ok())
      << "a revocation changes nothing of who vouches for whom";
  CertificateRequest ahead = after;
  ahead.peer->judged_by = State().sequence() + 1;
  ExpectRefused(absl::StatusCode::kUnavailable, "judged by another trust bundle", ahead);
  EXPECT_EQ(replica_->service->counters().issued, 1u);
  CertificateRequest token = ByToken(Csr(kNode), NewToken(kNode));
  EXPECT_TRUE(replica_->Enrol(token).ok()) << "nobody has judged who shows no SVID";
}

TEST_F(AuthorityCallersTest, AWorkloadsRenewalStaysWithItsNode) {
  const auto first = replica_->Enrol(By(Csr(kWeb), kNode));
  ASSERT_TRUE(first.ok()) << first.status();
  CertificateRequest renewal{.csr = Csr(kWeb),
                             .renew = true,
                             .peer = Svid(kWeb, SerialOf(kWeb)),
                             .token = {},
                             .address = {}};
  ASSERT_TRUE(replica_->Enrol(renewal).ok());
  const auto renewed = Reader(*store_).Certificates("", 100);
  for (const Certificate& one : *renewed) {
    if (one.subject != kWeb) continue;
    EXPECT_EQ(one.node, "east/n1");
  }
  Revoke(Kind::kNode, kNode);
  AwaitReplica();
  ExpectRefused(absl::StatusCode::kPermissionDenied, "revoked", renewal);
}

TEST_F(AuthorityCallersTest, AWorkloadWithoutARecordRenewsNothing) {
  ExpectRefused(absl::StatusCode::kPermissionDenied, "no record of the client certificate 4b",
                By(Csr(kWeb), kWeb));
}

}  // namespace
}  // namespace tombolo::ca
