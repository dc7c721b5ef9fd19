// SPDX-License-Identifier: Apache-2.0
#include "core/trust_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../ledger/faulty_store.h"
#include "core_case.h"

namespace tombolo::ca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

const std::string kWeb = "spiffe://test.example/cluster/east/ns/shop/sa/web";
const std::string kApi = "spiffe://test.example/cluster/east/ns/shop/sa/api";

Revocation Of(Kind kind, const std::string& subject) {
  return {.kind = kind, .subject = subject, .reason = "stolen"};
}

// One who gives commands, and somebody else who is quicker: he changes something between what the
// first has looked at and what he writes.
class TrustWriterTest : public CoreCase {
 protected:
  TrustWriterTest() { AddCluster("east"); }

  // Before each commit of the writer, at most `times`.
  void Meanwhile(const std::function<void()>& change, int times = 1) {
    left_ = times;
    faulty_->SetOnCommit([this, change](Store& store, const Transaction& transaction) {
      ++commits_;
      if (left_-- > 0) change();
      return store.Commit(transaction);
    });
  }
  TrustWriter Writer(PublicationLimits limits = {}) {
    return TrustWriter(*faulty_, *slow_, "test", limits);
  }
  // What the trust bundle would have, with or without one more.
  std::size_t SizeOf(const TrustState& trust, const tls::Revocations& revoked) const {
    return Publish(trust, revoked, kMaxSequence)->document.size();
  }
  TrustState Federated() {
    return *Federate(Trust().trust, "other.example",
                     MakeRoot("other.example", "", keys_)->certificate);
  }

  int commits_ = 0, left_ = 0;
  std::shared_ptr<FaultyStore> faulty_ = std::make_shared<FaultyStore>(store_);
  std::unique_ptr<Ledger> slow_ = *Ledger::Open(faulty_, {});
};

TEST_F(TrustWriterTest, OfTwoRevocationsTheSecondKnowsOfTheFirst) {
  const std::size_t one = SizeOf(Trust().trust, {.ids = {kWeb}});
  Meanwhile([this] { Revoke(Kind::kWorkload, kApi); });
  const absl::Status late = Writer({.trust = one, .all = one}).Revoke(Of(Kind::kWorkload, kWeb));
  EXPECT_TRUE(absl::IsResourceExhausted(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("nothing is changed"));
  EXPECT_EQ(commits_, 1) << "which did not hold";
  EXPECT_THAT(State().revoked.set.ids, ElementsAre(kApi));
}

TEST_F(TrustWriterTest, WhatIsBothSmallEnoughIsBothWritten) {
  Meanwhile([this] { Revoke(Kind::kWorkload, kApi); });
  const absl::Status late = Writer().Revoke(Of(Kind::kWorkload, kWeb));
  EXPECT_TRUE(late.ok()) << late;
  EXPECT_EQ(commits_, 2) << "the second one after it was judged again";
  EXPECT_THAT(State().revoked.set.ids, ElementsAre(kApi, kWeb));
}

TEST_F(TrustWriterTest, ADocumentKnowsOfARevocation) {
  const StoredTrust before = Trust();
  const TrustState next = Federated();
  const std::size_t one = SizeOf(next, {});
  Meanwhile([this] { Revoke(Kind::kWorkload, kApi); });
  const absl::Status late = Writer({.trust = one, .all = one}).Put(next, before.revision);
  EXPECT_TRUE(absl::IsResourceExhausted(late)) << late;
  EXPECT_EQ(Trust().trust, before.trust);
  EXPECT_THAT(State().revoked.set.ids, ElementsAre(kApi));
}

TEST_F(TrustWriterTest, ARevocationKnowsOfADocument) {
  const TrustState next = Federated();
  const std::size_t most = SizeOf(next, {});
  Meanwhile([&] { CoreCase::Put(next); });
  const absl::Status late = Writer({.trust = most, .all = most}).Revoke(Of(Kind::kWorkload, kWeb));
  EXPECT_TRUE(absl::IsResourceExhausted(late)) << late;
  EXPECT_EQ(Trust().trust, next);
  EXPECT_THAT(State().revoked.set.ids, IsEmpty());
}

TEST_F(TrustWriterTest, ADocumentIsWrittenOverTheOneThatWasRead) {
  const StoredTrust before = Trust();
  Meanwhile([this] { AddCluster("west"); });
  const absl::Status late = Writer().Put(Federated(), before.revision);
  EXPECT_TRUE(absl::IsFailedPrecondition(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("somebody else"));
  EXPECT_NE(Trust().trust.FindAuthority("west", before.trust.active().id), nullptr);
  EXPECT_THAT(Trust().trust.federated, IsEmpty());
  EXPECT_TRUE(Writer().Put(Federated(), Trust().revision).ok());
}

TEST_F(TrustWriterTest, WhatAClusterHasSpokenForNeedsRoomOfItsOwn) {
  Revoke(Kind::kWorkload, kWeb);
  Revoke(Kind::kWorkload, kApi);
  Revoke(Kind::kCluster, "east");
  const std::size_t now = SizeOf(Trust().trust, State().revoked.set);
  const PublicationLimits limits{.trust = now, .all = now};
  const absl::Status grown = Writer(limits).Unrevoke(Of(Kind::kCluster, "east"));
  EXPECT_TRUE(absl::IsResourceExhausted(grown)) << grown;
  EXPECT_THAT(State().revoked.set.clusters, SizeIs(1));
  EXPECT_TRUE(Writer(limits).Unrevoke(Of(Kind::kWorkload, kWeb)).ok());
  EXPECT_TRUE(Writer().Unrevoke(Of(Kind::kCluster, "east")).ok());
  EXPECT_THAT(State().revoked.set.ids, ElementsAre(kApi));
  EXPECT_TRUE(absl::IsNotFound(Writer().Unrevoke(Of(Kind::kCluster, "east"))));
}

TEST_F(TrustWriterTest, SaysWhenOnlySomeWereTakenBack) {
  // More often than one change takes back.
  for (int i = 0; i < 40; ++i) Revoke(Kind::kWorkload, kWeb);
  // After that nothing holds any more.
  faulty_->SetOnCommit([this](Store& store, const Transaction& transaction) {
    if (++commits_ > 1) Revoke(Kind::kWorkload, kApi);
    return store.Commit(transaction);
  });
  const absl::Status some = Writer().Unrevoke(Of(Kind::kWorkload, kWeb));
  EXPECT_TRUE(absl::IsUnavailable(some)) << some;
  EXPECT_THAT(std::string(some.message()), StartsWith("some were taken back; give the command"));
}

// As an authority that wrote without knowing may have left it.
TEST_F(TrustWriterTest, WhatMakesATooLargeBundleSmallerIsWritten) {
  Revoke(Kind::kWorkload, kWeb);
  Revoke(Kind::kWorkload, kApi);
  EXPECT_TRUE(Writer({.trust = 1, .all = 1}).Unrevoke(Of(Kind::kWorkload, kWeb)).ok());
  EXPECT_THAT(State().revoked.set.ids, ElementsAre(kApi));
}

TEST_F(TrustWriterTest, GivesUpWhenItNeverStaysAsItIs) {
  Meanwhile([this] { Revoke(Kind::kWorkload, kApi); }, 1000);
  const absl::Status never = Writer().Revoke(Of(Kind::kWorkload, kWeb));
  EXPECT_TRUE(absl::IsUnavailable(never)) << never;
  EXPECT_THAT(std::string(never.message()), HasSubstr("nothing was changed"));
  EXPECT_THAT(State().revoked.set.ids, ElementsAre(kApi));
}

}  // namespace
}  // namespace tombolo::ca
