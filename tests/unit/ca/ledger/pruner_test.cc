// SPDX-License-Identifier: Apache-2.0
#include "ledger/pruner.h"

#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "ledger_case.h"

namespace tombolo::ca {
namespace {

using std::chrono::hours;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class PrunerTest : public LedgerCase {
 protected:
  PrunerTest() {
    Reopen({.now = [this] { return now_; }});
  }

  Certificate NewLeaf(hours life = hours(1)) const {
    Certificate leaf = NewCertificate("spiffe://test.example/a");
    leaf.not_before = now_;
    leaf.not_after = now_ + life;
    return leaf;
  }
  std::string Issued(hours life = hours(1)) {
    const Certificate leaf = NewLeaf(life);
    EXPECT_TRUE(Issue(leaf).ok());
    return leaf.serial;
  }
  std::string Made(hours life) {
    Token token = NewToken(absl::StrCat("secret", ++secrets_), "one");
    token.expires = now_ + life;
    EXPECT_TRUE(AddToken(token).ok());
    return token.digest;
  }

  absl::Status Apply(Ledger& ledger, std::optional<Pruning> pruning) {
    return Ledger::Await([&](Ledger::Done done) {
             ledger.Prune(*std::move(pruning), "authority", std::move(done));
           })
        .status();
  }
  // Everything that there is to remove now: how many transactions.
  int Prune() {
    for (int changes = 0;; ++changes) {
      auto pruning = planner_.Next(now_);
      EXPECT_TRUE(pruning.ok()) << pruning.status();
      if (!pruning.ok() || !*pruning) return changes;
      EXPECT_TRUE(Apply(*ledger_, *std::move(pruning)).ok());
    }
  }

  std::vector<std::string> Serials() {
    std::vector<std::string> serials;
    const auto certificates = reader_.Certificates("", 1000);
    for (const Certificate& one : *certificates) serials.push_back(one.serial);
    return serials;
  }

  WallTime now_ = std::chrono::system_clock::now();
  int secrets_ = 0;
  PruningPlanner planner_{*sqlite_};
};

TEST_F(PrunerTest, RemovesWhatHasExpiredLongAgo) {
  const std::string intermediate = Issued(hours(24 * 365));
  const std::string leaf = Issued(), long_leaf = Issued(hours(24));
  now_ += kRecordLife - hours(1);
  const std::string young = Issued();
  EXPECT_EQ(Prune(), 0) << "nothing is old enough";
  EXPECT_EQ(Serials().size(), 4);
  now_ += hours(1);
  EXPECT_EQ(Prune(), 1);
  EXPECT_THAT(Serials(), UnorderedElementsAre(intermediate, young));
  EXPECT_THAT(Findings(), IsEmpty());
  const AuditEntry entry = reader_.Entries(4, 10)->at(0);
  EXPECT_EQ(entry.event, "old records removed");
  EXPECT_THAT(entry.deletes, UnorderedElementsAre(CertificateKey(leaf), CertificateKey(long_leaf)));
  now_ += hours(24 * 365);
  EXPECT_EQ(Prune(), 1);
  EXPECT_THAT(Serials(), UnorderedElementsAre(intermediate)) << "it was passed";
  EXPECT_EQ(Prune(), 0);
}

TEST_F(PrunerTest, RemovesWhatCameFromElsewhereToo) {
  const Certificate foreign = NewLeaf(hours(24));
  ASSERT_TRUE(Ledger::Await([&](Ledger::Done done) {
                ledger_->Install(foreign, "test", std::move(done));
              }).ok());
  now_ += kRecordLife;
  EXPECT_EQ(Prune(), 1);
  EXPECT_THAT(Serials(), IsEmpty());
}

TEST_F(PrunerTest, WhatNeverEndsStays) {
  Certificate foreign = NewLeaf();
  // As that of the year 9999 is read.
  foreign.not_after =
      std::chrono::system_clock::from_time_t(std::chrono::system_clock::to_time_t(WallTime::max()));
  ASSERT_TRUE(Ledger::Await([&](Ledger::Done done) {
                ledger_->Install(foreign, "test", std::move(done));
              }).ok());
  now_ += kRecordLife;
  EXPECT_EQ(Prune(), 0);
  EXPECT_THAT(Serials(), UnorderedElementsAre(foreign.serial));
}

TEST_F(PrunerTest, RemovesTokensThatHaveExpired) {
  const std::string spent = Made(hours(1)), unspent = Made(hours(1)), lasting = Made(hours(48));
  ASSERT_TRUE(Issue(NewLeaf(), Payment{.digest = spent, .subject = "one"}).ok());
  now_ += kRecordLife;
  EXPECT_EQ(Prune(), 1);
  const auto tokens = reader_.Tokens("", 10);
  ASSERT_EQ(tokens->size(), 1);
  EXPECT_EQ(tokens->at(0).digest, lasting);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(PrunerTest, RevocationsStay) {
  ASSERT_TRUE(Revoke(Kind::kSerial, Issued()).ok());
  now_ += kRecordLife;
  EXPECT_EQ(Prune(), 1);
  EXPECT_THAT(Serials(), IsEmpty());
  EXPECT_EQ(reader_.Revocations(0, 10)->size(), 1) << "a connection may last longer";
}

TEST_F(PrunerTest, EachTransactionIsSmall) {
  for (int i = 0; i < 250; ++i) (void)Issued();
  now_ += kRecordLife;
  EXPECT_EQ(Prune(), 3);
  EXPECT_THAT(Serials(), IsEmpty());
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(PrunerTest, OfTwoReplicasOneRemoves) {
  (void)Issued();
  now_ += kRecordLife;
  auto other = *Ledger::Open(sqlite_, {});
  PruningPlanner other_planner(*sqlite_);
  auto first = planner_.Next(now_), second = other_planner.Next(now_);
  ASSERT_TRUE(first.ok() && *first && second.ok() && *second);
  EXPECT_TRUE(Apply(*other, *std::move(second)).ok());
  EXPECT_TRUE(absl::IsAborted(Apply(*ledger_, *std::move(first))));
  EXPECT_EQ(Prune(), 0);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(PrunerTest, ARemovedRecordThatIsPutBackIsFound) {
  const std::string key = CertificateKey(Issued());
  const std::string value = (*sqlite_->Get(key))->value;
  now_ += kRecordLife;
  EXPECT_EQ(Prune(), 1);
  ASSERT_TRUE(sqlite_->Commit({.puts = {{key, value}}}).ok());
  EXPECT_THAT(Findings(), ::testing::ElementsAre(HasSubstr("was inserted")));
  ASSERT_TRUE(sqlite_->Commit({.deletes = {key, kPruned}}).ok());
  EXPECT_THAT(Findings(), ::testing::ElementsAre(HasSubstr("pruned is missing")));
}

TEST_F(PrunerTest, WorksByItself) {
  for (int i = 0; i < 5; ++i) (void)Issued();
  now_ += kRecordLife;
  const Pruner pruner(sqlite_, *ledger_,
                      {.interval = std::chrono::milliseconds(1), .now = [this] { return now_; }});
  for (int i = 0; i < 2000 && pruner.removed() < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(pruner.removed(), 5);
  EXPECT_THAT(Serials(), IsEmpty());
}

}  // namespace
}  // namespace tombolo::ca
