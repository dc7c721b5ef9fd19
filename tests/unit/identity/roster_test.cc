// SPDX-License-Identifier: Apache-2.0
#include "identity/roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/cluster_pki.h"
#include "tls/handshake_failure.h"

namespace tombolo::identity {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::ClusterPki;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RosterTest : public ::testing::Test {
 protected:
  static SpiffeId Id(const std::string& account) {
    return *SpiffeId::ForWorkload(ClusterPki::kDomain, "east", "shop", account);
  }
  TrustPtr Trust(const tls::TrustBundle& bundle) {
    return *ParseTrust(*tls::WriteTrustBundle(bundle), ClusterPki::kDomain, "bundle.json");
  }
  // An SVID that lives for an hour from kNow on, whoever it is for.
  Svid Issue(const SpiffeId& id, const TrustPtr& trust) {
    const auto pem =
        ClusterPki::Issue(pki_.issuer("east"), std::string(id.path()), trust->bundle());
    return *MakeSvid(id, {pem.chain, pem.key}, trust, now_);
  }

  ClusterPki pki_;
  const TrustPtr trust_ = Trust(pki_.Bundle());
  const WallTime now_ = std::chrono::system_clock::now();
  const Pace pace_;
  Roster roster_;
};

TEST_F(RosterTest, NewOnesAreDueAtOnceAndGoneOnesForgotten) {
  roster_.Set({Id("a"), Id("b")}, now_);
  EXPECT_THAT(roster_.Due(now_, 10), ElementsAre(Id("a"), Id("b")));
  roster_.Find(Id("a"))->Issued(Issue(Id("a"), trust_), pace_, 0);
  roster_.Set({Id("a"), Id("c")}, now_ + seconds(1));
  EXPECT_EQ(roster_.Find(Id("b")), nullptr);
  EXPECT_THAT(roster_.Due(now_ + seconds(1), 10), ElementsAre(Id("c")));
  EXPECT_NE(roster_.Find(Id("a"))->svid.credentials, nullptr);
}

TEST_F(RosterTest, WhatHasNothingComesFirstThenWhatEndsFirst) {
  roster_.Set({Id("a"), Id("b"), Id("c")}, now_);
  Record* const a = roster_.Find(Id("a"));
  a->Issued(Issue(Id("a"), trust_), pace_, 0);
  EXPECT_NEAR(static_cast<double>((a->due - now_) / seconds(1)), 1800, 5);
  roster_.Find(Id("c"))->asking = true;
  EXPECT_THAT(roster_.Due(now_ + minutes(31), 10), ElementsAre(Id("b"), Id("a")));
  EXPECT_THAT(roster_.Due(now_ + minutes(31), 1), ElementsAre(Id("b")));
  EXPECT_THAT(roster_.Due(now_ + minutes(31), 0), IsEmpty());
  EXPECT_EQ(roster_.NextDue(), now_);
  roster_.Find(Id("b"))->asking = true;
  EXPECT_EQ(roster_.NextDue(), a->due);
}

TEST_F(RosterTest, AFailedRenewalKeepsWhatHolds) {
  roster_.Set({Id("a")}, now_);
  Record* const record = roster_.Find(Id("a"));
  record->Issued(Issue(Id("a"), trust_), pace_, 0);
  const tls::CredentialsPtr first = record->svid.credentials;
  const WallTime later = now_ + minutes(30);
  record->Failed(absl::UnavailableError("nobody there"), pace_, {}, later, 0);
  record->Failed(absl::UnavailableError("nobody there"), pace_, {}, later, 0);
  EXPECT_EQ(record->due, later + seconds(2));
  EXPECT_EQ(record->failures, 2u);
  EXPECT_TRUE(record->Unanswered());
  const StorePtr store = MakeStore(roster_.records(), trust_);
  EXPECT_EQ(store->Find(Id("a")), first);
  EXPECT_THAT(std::string(store->entries().at(Id("a")).error.message()), "nobody there");
  // Just before its end the attempts come close together.
  record->Failed(absl::UnavailableError("nobody there"), pace_, {}, first->not_after() - seconds(4),
                 0);
  EXPECT_EQ(record->due, first->not_after() - seconds(3));
  record->Issued(Issue(Id("a"), trust_), pace_, 0);
  EXPECT_EQ(record->failures, 0u);
  EXPECT_TRUE(record->error.ok());
}

TEST_F(RosterTest, TriesAgainWhenThereIsReason) {
  Record record{.due = now_};
  record.TryAgain(pace_, now_ - seconds(1));
  EXPECT_EQ(record.due, now_);  // it has not failed
  record.Failed(absl::PermissionDeniedError("no"), pace_, {}, now_, 0);
  EXPECT_FALSE(record.Unanswered());
  record.TryAgain(pace_, now_);
  EXPECT_EQ(record.due, now_);
}

TEST_F(RosterTest, NothingMakesAnIdentityHurryMoreOftenThanThePace) {
  Record record{.due = now_};
  record.Begin(now_);
  record.Failed(absl::UnavailableError("nobody there"), pace_, minutes(5), now_, 0);
  record.TryAgain(pace_, now_ + seconds(1));
  EXPECT_EQ(record.due, now_ + pace_.min_renewal);
  record.TryAgain(pace_, now_ + minutes(1));
  EXPECT_EQ(record.due, now_ + pace_.min_renewal);  // it was earlier
  // An authority whose own end is near issues less and less.
  const std::string key = *tls::GenerateKey();
  const auto leaf = pki_.issuer("east").IssueSvid(Id("a"), key, tls::Validity::FromNow(seconds(3)));
  record.Issued(*MakeSvid(Id("a"), {*leaf + pki_.issuer("east").chain(), key}, trust_, now_), pace_,
                0);
  EXPECT_EQ(record.due, now_ + pace_.min_renewal);
}

TEST_F(RosterTest, AClockThatIsSetBackHoldsNothingUp) {
  const WallTime back = now_ - std::chrono::hours(3);
  Record untried{.due = now_};
  untried.LookAtClock(pace_, back);
  EXPECT_EQ(untried.due, back);
  Record failed{.due = now_};
  failed.Begin(now_);
  failed.Failed(absl::UnavailableError("nobody there"), pace_, minutes(5), now_, 0);
  failed.LookAtClock(pace_, now_);
  EXPECT_EQ(failed.due, now_ + minutes(5));  // nothing has happened
  failed.LookAtClock(pace_, back);
  EXPECT_EQ(failed.due, back + pace_.min_renewal);
  failed.LookAtClock(pace_, back + seconds(1));  // once
  EXPECT_EQ(failed.due, back + pace_.min_renewal);
}

TEST_F(RosterTest, TheStoreSaysWhatIsMissing) {
  roster_.Set({Id("a")}, now_);
  const StorePtr store = MakeStore(roster_.records(), nullptr);
  EXPECT_EQ(store->Find(Id("a")), nullptr);
  EXPECT_EQ(store->entries().at(Id("a")).error.message(), "not issued yet");
}

TEST_F(RosterTest, EveryoneIsJudgedByAnotherBundle) {
  roster_.Set({Id("a"), Id("b")}, now_);
  for (const char* name : {"a", "b"})
    roster_.Find(Id(name))->Issued(Issue(Id(name), trust_), pace_, 0);
  EXPECT_EQ(roster_.FindOtherThan(trust_), nullptr);
  tls::TrustBundle next = pki_.Bundle();
  next.sequence = 2;
  next.revoked.ids.insert(Id("b").text());
  const TrustPtr newer = Trust(next);
  while (const SpiffeId* id = roster_.FindOtherThan(newer)) {
    roster_.Find(*id)->Judge(*id, newer, pace_, now_);
  }
  const StorePtr store = MakeStore(roster_.records(), newer);
  ASSERT_NE(store->Find(Id("a")), nullptr);
  EXPECT_EQ(store->Find(Id("a"))->trust(), newer->anchors);
  EXPECT_EQ(store->Find(Id("b")), nullptr);
  EXPECT_THAT(std::string(store->entries().at(Id("b")).error.message()), HasSubstr("revoked"));
  EXPECT_FALSE(store->CheckRevoked(Id("b"), "01").ok());
  EXPECT_THAT(roster_.Due(now_, 10), ElementsAre(Id("b")));
  // Taken back: the same SVID is good again, and nothing is wrong.
  next.sequence = 3;
  next.revoked = {};
  roster_.Find(Id("b"))->Judge(Id("b"), Trust(next), pace_, now_);
  EXPECT_NE(roster_.Find(Id("b"))->svid.credentials, nullptr);
  EXPECT_TRUE(roster_.Find(Id("b"))->error.ok());
}

TEST_F(RosterTest, WhatIsTaintedIsDueAtOnceAndHoldsMeanwhile) {
  roster_.Set({Id("a")}, now_);
  Record* const record = roster_.Find(Id("a"));
  record->Issued(Issue(Id("a"), trust_), pace_, 0);
  tls::TrustBundle next = pki_.Bundle();
  next.tainted.insert(pki_.issuer("east").public_key().id());
  const TrustPtr newer = Trust(next);
  record->Judge(Id("a"), newer, pace_, now_);
  EXPECT_EQ(record->due, now_);
  EXPECT_NE(record->svid.credentials, nullptr);
  // One that is tainted again, for the authority has no other yet, is not asked for all the time.
  record->Issued(Issue(Id("a"), newer), pace_, 0);
  EXPECT_GT(record->due, now_ + minutes(20));
}

TEST_F(RosterTest, AnotherIdentityOrKeyIsOfNoUse) {
  const auto pem =
      ClusterPki::Issue(pki_.issuer("east"), "/cluster/east/ns/shop/sa/a", trust_->bundle());
  EXPECT_THAT(std::string(MakeSvid(Id("b"), {pem.chain, pem.key}, trust_, now_).status().message()),
              HasSubstr("sa/a' instead of"));
  EXPECT_FALSE(MakeSvid(Id("a"), {pem.chain, *tls::GenerateKey()}, trust_, now_).ok());
  const auto foreign =
      ClusterPki::Issue(pki_.issuer("west"), "/cluster/east/ns/shop/sa/a", trust_->bundle());
  const auto refused = MakeSvid(Id("a"), {foreign.chain, foreign.key}, trust_, now_);
  EXPECT_EQ(tls::ReasonOf(refused.status()), tls::HandshakeFailure::kWrongCluster);
}

}  // namespace
}  // namespace tombolo::identity
