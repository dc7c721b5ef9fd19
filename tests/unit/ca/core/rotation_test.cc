// SPDX-License-Identifier: Apache-2.0
#include "core/rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/acks.h"
#include "core_case.h"
#include "tls/serial.h"

namespace tombolo::ca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class RotationTest : public CoreCase {
 protected:
  RotationTest() {
    AddCluster("east");
    first_ = Trust().trust;
    second_ = *MakeRoot(kDomain, "", keys_);
  }

  TrustState Prepared() { return *PrepareRoot(first_, second_, Below(second_, {"", "east"})); }
  std::vector<TrustAuthority> Below(const TrustRoot& root,
                                    const std::vector<std::string>& clusters) {
    const auto issuer = OpenRoot(root, keys_, kDomain);
    std::vector<TrustAuthority> made;
    for (const std::string& cluster : clusters) {
      made.push_back(
          MakeAuthority(**issuer, cluster, keys_, std::chrono::system_clock::now())->authority);
    }
    return made;
  }
  TrustState Activated() { return *ActivateRoot(Prepared()); }

  static void ExpectRefused(const absl::StatusOr<TrustState>& state, const std::string& why) {
    EXPECT_TRUE(absl::IsFailedPrecondition(state.status())) << state.status();
    EXPECT_THAT(std::string(state.status().message()), HasSubstr(why));
  }

  TrustState first_;
  TrustRoot second_;
};

TEST_F(RotationTest, GoesThroughEveryStep) {
  TrustState state = Prepared();
  EXPECT_EQ(state.active().id, first_.active().id) << "prepared, it signs nothing";
  EXPECT_EQ(state.authorities.size(), 4u) << "but everybody learns who is going to";
  const std::vector<TrustAuthority> known = state.authorities;
  state = *ActivateRoot(state);
  EXPECT_EQ(state.active().id, second_.id);
  EXPECT_EQ(state.SignerFor("east")->root, second_.id);
  EXPECT_EQ(state.authorities, known) << "nobody is new when it begins to sign";
  state = *TaintRoot(state);
  EXPECT_EQ(state.other()->state, RootState::kTainted);
  state = *RevokeRoot(state);
  EXPECT_EQ(state.roots.size(), 1u);
  EXPECT_EQ(state.authorities.size(), 2u);
  EXPECT_EQ(state.other(), nullptr);
  EXPECT_TRUE(Encode(state).ok());
}

TEST_F(RotationTest, EveryStepButTheLastCanBeTakenBack) {
  EXPECT_EQ(*UndoPrepare(Prepared()), first_);
  TrustState state = *UndoActivate(Activated());
  EXPECT_EQ(state.active().id, first_.active().id);
  EXPECT_EQ(state.other()->state, RootState::kPrepared);
  EXPECT_EQ(state.authorities.size(), 4u) << "what the new ones have signed still holds";
  EXPECT_TRUE(ActivateRoot(state).ok()) << "again, with those";
  EXPECT_EQ(*UndoPrepare(state), first_);
  state = Activated();
  EXPECT_EQ(*UndoTaint(*TaintRoot(state)), state);
}

TEST_F(RotationTest, RefusesAStepThatIsNotTheNext) {
  ExpectRefused(UndoPrepare(first_), "no root is prepared: there is only one root");
  ExpectRefused(ActivateRoot(first_), "no root is prepared");
  ExpectRefused(UndoActivate(first_), "no activation to undo");
  ExpectRefused(TaintRoot(first_), "there is only one root");
  ExpectRefused(UndoTaint(first_), "no root is tainted");
  ExpectRefused(RevokeRoot(first_), "only a tainted root can be revoked");
  ExpectRefused(PrepareRoot(Prepared(), *MakeRoot(kDomain, "", keys_), {}),
                "one rotation at a time");
  ExpectRefused(TaintRoot(Prepared()), " is prepared");
  ExpectRefused(RevokeRoot(Activated()), " is old");
  ExpectRefused(UndoPrepare(Activated()), " is old");
  ExpectRefused(UndoActivate(*TaintRoot(Activated())), " is tainted");
}

TEST_F(RotationTest, ActivatesNothingByHalves) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      PrepareRoot(first_, second_, Below(first_.active(), {"", "east"})).status()));
  ExpectRefused(ActivateRoot(*PrepareRoot(first_, second_, Below(second_, {""}))),
                "there is no authority yet of 'east' ('' is the server): 'tombolo-ca cluster add'");
  ExpectRefused(ActivateRoot(*PrepareRoot(first_, second_, Below(second_, {"east"}))),
                "'tombolo-ca root prepare --undo'");
}

TEST_F(RotationTest, AuthoritiesBelowARootThatIsElsewhereAreInstalledFirst) {
  const std::vector<TrustAuthority> made = Below(second_, {"", "east"});
  second_.key = "";
  TrustState state = *PrepareRoot(first_, second_, {});
  EXPECT_THAT(ClustersWithout(state, second_.id), ElementsAre("", "east"));
  ExpectRefused(ActivateRoot(state), "of '', 'east'");
  state = *InstallAuthority(state, made[0]);
  ExpectRefused(ActivateRoot(state), "of 'east' ('' is the server): 'tombolo-ca csr'");
  state = *InstallAuthority(state, made[1]);
  EXPECT_THAT(ClustersWithout(state, second_.id), IsEmpty());
  EXPECT_TRUE(ActivateRoot(state).ok());
}

TEST_F(RotationTest, AClusterThatComesDuringARotationIsNotForgotten) {
  const TrustAuthority below_new = Below(second_, {"west"})[0];
  const TrustAuthority below_old = Below(first_.active(), {"west"})[0];
  TrustState state = *InstallAuthority(Prepared(), below_old);
  ExpectRefused(ActivateRoot(state), "'west'");
  EXPECT_TRUE(ActivateRoot(*InstallAuthority(state, below_new)).ok());
  state = *InstallAuthority(Activated(), below_new);
  ExpectRefused(UndoActivate(state), "'west'");
  EXPECT_TRUE(UndoActivate(*InstallAuthority(state, below_old)).ok());
}

TEST_F(RotationTest, AnAuthorityKeepsItsKey) {
  const TrustAuthority other = Below(first_.active(), {"east"})[0];
  EXPECT_TRUE(absl::IsAlreadyExists(InstallAuthority(first_, other).status()));
  TrustAuthority same = *first_.SignerFor("east");
  same.key = "elsewhere.key";
  const auto next = InstallAuthority(first_, same);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->SignerFor("east")->key, "elsewhere.key");
  EXPECT_EQ(next->authorities.size(), 2u);
}

TEST_F(RotationTest, ActivationWaitsForEveryAgent) {
  RotationEvidence evidence;
  evidence.sequence = 7;
  for (const char* node : {"n1", "n2", "n3"}) {
    evidence.holders.push_back(
        {.subject = absl::StrCat("spiffe://test.example/cluster/east/node/", node),
         .node = absl::StrCat("east/", node),
         .newest_issuer = "x",
         .issuers = {"x"}});
  }
  evidence.acks = {{"east/n1", 7}, {"east/n2", 6}};
  const TrustState state = Prepared();
  const Waiting waiting = WaitsFor(RotationStep::kActivate, state, evidence);
  EXPECT_THAT(waiting.agents, ElementsAre("east/n2", "east/n3"));
  EXPECT_THAT(waiting.identities, IsEmpty());
  EXPECT_EQ(waiting.Text(), "2 agents do not hold the newest trust bundle: east/n2, east/n3");
  evidence.acks["east/n2"] = evidence.acks["east/n3"] = 8;
  EXPECT_TRUE(WaitsFor(RotationStep::kActivate, state, evidence).empty());
  evidence.acks["east/off"] = 1;
  EXPECT_THAT(WaitsFor(RotationStep::kActivate, state, evidence).agents, ElementsAre("east/off"))
      << "without a certificate that is good: it comes back with the old bundle";
  evidence.acks["east/off"] = 7;
  EXPECT_TRUE(WaitsFor(RotationStep::kActivate, state, evidence).empty());
}

TEST_F(RotationTest, NobodyWaitsForWhoeverHasExpired) {
  RotationEvidence evidence;
  evidence.sequence = 7;
  evidence.acks = {{"east/off", 6}, {"east/old", 6}, {"east/told", 7}};
  evidence.expired = {"east/old", "east/told"};
  for (const auto& [step, state] : {std::pair(RotationStep::kActivate, Prepared()),
                                    std::pair(RotationStep::kRevoke, *TaintRoot(Activated()))}) {
    const Waiting waiting = WaitsFor(step, state, evidence);
    EXPECT_THAT(waiting.agents, ElementsAre("east/off"));
    EXPECT_THAT(waiting.expired, ElementsAre("east/old")) << "who holds it needs nothing";
    EXPECT_THAT(waiting.ExpiredText(), HasSubstr("1 node is not waited for"));
    EXPECT_THAT(waiting.ExpiredText(), HasSubstr("east/old"));
  }
  const Waiting before = WaitsFor(RotationStep::kPrepare, first_, evidence);
  EXPECT_TRUE(before.empty());
  EXPECT_THAT(before.expired, ElementsAre("east/old", "east/told"));
  evidence.acks.erase("east/off");
  EXPECT_TRUE(WaitsFor(RotationStep::kActivate, Prepared(), evidence).empty());
  EXPECT_THAT(WaitsFor(RotationStep::kTaint, Activated(), evidence).expired, IsEmpty());
}

TEST_F(RotationTest, RevocationWaitsForEveryIdentityOnEveryNode) {
  const TrustState state = *TaintRoot(Activated());
  const std::string old_key = first_.SignerFor("east")->id;
  const std::string new_key = state.SignerFor("east")->id;
  RotationEvidence evidence;
  evidence.holders = {{.subject = "spiffe://test.example/cluster/east/ns/a/sa/b",
                       .node = "east/n1",
                       .newest_issuer = new_key,
                       .issuers = {old_key, new_key}},
                      {.subject = "spiffe://test.example/cluster/east/ns/a/sa/b",
                       .node = "east/n2",
                       .newest_issuer = old_key,
                       .issuers = {old_key}}};
  const Waiting waiting = WaitsFor(RotationStep::kRevoke, state, evidence);
  EXPECT_THAT(waiting.identities,
              ElementsAre("spiffe://test.example/cluster/east/ns/a/sa/b on east/n2"));
  EXPECT_THAT(waiting.Text(), HasSubstr("1 identity depends on certificates"));
  EXPECT_TRUE(WaitsFor(RotationStep::kTaint, state, evidence).empty());
}

TEST_F(RotationTest, UndoingAPreparationWaitsForWhatTheRootHasVouchedFor) {
  const TrustState state = *UndoActivate(Activated());
  RotationEvidence evidence;
  evidence.holders = {{.subject = "spiffe://test.example/cluster/east/ns/a/sa/b",
                       .node = "",
                       .newest_issuer = first_.SignerFor("east")->id,
                       .issuers = {state.FindAuthority("east", second_.id)->id}}};
  EXPECT_THAT(WaitsFor(RotationStep::kUndoPrepare, state, evidence).identities,
              ElementsAre("spiffe://test.example/cluster/east/ns/a/sa/b"));
  evidence.holders.clear();
  EXPECT_TRUE(WaitsFor(RotationStep::kUndoPrepare, state, evidence).empty());
}

// It shows its newest certificate alone.
TEST_F(RotationTest, UndoingAPreparationWaitsForAServerOnlyUntilItHasAnotherCertificate) {
  const TrustState state = *UndoActivate(Activated());
  const std::string old_key = state.FindAuthority("", first_.active().id)->id;
  const std::string new_key = state.FindAuthority("", second_.id)->id;
  RotationEvidence evidence;
  evidence.holders = {{.subject = "spiffe://test.example/ca",
                       .node = "replica ca-1",
                       .newest_issuer = old_key,
                       .issuers = {old_key, new_key}},
                      {.subject = "spiffe://test.example/ca",
                       .node = "replica ca-2",
                       .newest_issuer = new_key,
                       .issuers = {new_key}}};
  EXPECT_THAT(WaitsFor(RotationStep::kUndoPrepare, state, evidence).identities,
              ElementsAre("spiffe://test.example/ca on replica ca-2"));
}

TEST_F(RotationTest, EveryReplicaIsAHolder) {
  const WallTime now = std::chrono::system_clock::now();
  const std::pair<const char*, const char*> certificates[] = {
      {"replica ca-1", "old"}, {"replica ca-2", "old"}, {"replica ca-1", "new"}};
  for (const auto& [requester, issuer] : certificates) {
    Issue({.serial = tls::Serial::Random().hex(),
           .subject = "spiffe://test.example/ca",
           .not_before = now,
           .not_after = now + std::chrono::hours(1),
           .issuer_key = issuer,
           .requester = requester,
           .node = "",
           .certificate = "cd"});
  }
  const auto evidence = ReadEvidence(*store_, State(), now);
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  ASSERT_EQ(evidence->holders.size(), 2u);
  EXPECT_EQ(evidence->holders[0].newest_issuer, "new");
  EXPECT_EQ(evidence->holders[1].Text(), "spiffe://test.example/ca on replica ca-2");
  EXPECT_EQ(evidence->holders[1].newest_issuer, "old");
}

TEST_F(RotationTest, FederationIsAddedAndRemoved) {
  const std::string root = MakeRoot("other.example", "", keys_)->certificate;
  const auto federated = Federate(first_, "other.example", root);
  ASSERT_TRUE(federated.ok()) << federated.status();
  EXPECT_EQ(*Unfederate(*federated, "other.example"), first_);
  EXPECT_TRUE(absl::IsNotFound(Unfederate(first_, "other.example").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Federate(first_, "third.example", root).status()));
}

TEST_F(RotationTest, NodesThatMayComeBackAreAgents) {
  for (const char* node : {"east/n1", "east/stolen", "west/n1", "east/gone"}) {
    ASSERT_TRUE(store_->Commit({.puts = {{absl::StrCat(kAcks, node), "1"}}}).ok());
  }
  Revoke(Kind::kNode, "spiffe://test.example/cluster/east/node/stolen");
  Revoke(Kind::kCluster, "west");
  EXPECT_TRUE(ForgetAck(*store_, "east/gone").ok());
  EXPECT_TRUE(absl::IsNotFound(ForgetAck(*store_, "east/gone")));
  const auto evidence = ReadEvidence(*store_, State(), std::chrono::system_clock::now());
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  EXPECT_THAT(evidence->acks, ElementsAre(Pair("east/n1", 1)));
}

TEST_F(RotationTest, ANodeHasExpiredADayAfterTheLastThatItWasGiven) {
  using std::chrono::hours;
  const WallTime now = std::chrono::system_clock::now();
  const auto given = [&](const std::string& node, const std::string& name, hours ago, hours ttl) {
    ASSERT_TRUE(store_->Commit({.puts = {{absl::StrCat(kAcks, "east/", node), "1"}}}).ok());
    Issue({.serial = tls::Serial::Random().hex(),
           .subject = absl::StrCat("spiffe://test.example/cluster/east/", name),
           .not_before = now - ago,
           .not_after = now - ago + ttl,
           .issuer_key = "x",
           .node = absl::StrCat("east/", node)});
  };
  given("runs", "node/runs", hours(0), hours(1));
  given("off", "node/off", hours(23), hours(1));
  given("old", "node/old", hours(25), hours(1));
  given("long", "node/long", hours(25), hours(26));
  given("serves", "node/serves", hours(25), hours(1));
  given("serves", "ns/a/sa/b", hours(0), hours(1));
  ASSERT_TRUE(store_->Commit({.puts = {{"ack/east/pruned", "1"}}}).ok());
  const auto evidence = ReadEvidence(*store_, State(), now);
  ASSERT_TRUE(evidence.ok()) << evidence.status();
  EXPECT_THAT(evidence->expired, ElementsAre("east/old", "east/pruned"));
  EXPECT_EQ(evidence->holders.size(), 3u) << "of what is good";
  EXPECT_EQ(evidence->acks.size(), 6u);
}

TEST_F(RotationTest, NobodyHasExpiredWhenTheAuthorityWasAwayOrTheClockIsWrong) {
  using std::chrono::hours;
  ASSERT_TRUE(store_->Commit({.puts = {{"ack/east/n1", "1"}}}).ok());
  Revoke(Kind::kWorkload, "spiffe://test.example/cluster/east/ns/a/sa/b");  // the last entry
  const WallTime now = std::chrono::system_clock::now();
  const auto expired = [&](WallTime at) { return ReadEvidence(*store_, State(), at)->expired; };
  EXPECT_THAT(expired(now), ElementsAre("east/n1"));
  EXPECT_THAT(expired(now + hours(23)), ElementsAre("east/n1"));
  EXPECT_THAT(expired(now + hours(25)), IsEmpty());
  EXPECT_THAT(expired(now - std::chrono::minutes(4)), ElementsAre("east/n1"));
  EXPECT_THAT(expired(now - std::chrono::minutes(6)), IsEmpty());
}

}  // namespace
}  // namespace tombolo::ca
