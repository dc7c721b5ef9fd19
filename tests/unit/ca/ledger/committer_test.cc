// SPDX-License-Identifier: Apache-2.0
// What waits, what is committed together, what becomes of lost answers, and replicas side by side.
#include "ledger/committer.h"

#include <atomic>
#include <future>
#include <set>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "ledger_case.h"

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CommitterTest : public LedgerCase {
 protected:
  // Lets the ledger's thread wait, so that what is posted meanwhile is one batch.
  std::promise<void> Hold() {
    std::promise<void> release;
    auto released = release.get_future().share();
    EXPECT_TRUE(ledger_->Read([released](const Reader&) { released.wait(); }).ok());
    std::this_thread::sleep_for(milliseconds(20));
    return release;
  }
};

TEST_F(CommitterTest, WhatWaitsIsCommittedTogether) {
  std::atomic<int> commits = 0;
  store_->SetOnCommit([&](Store& store, const Transaction& transaction) {
    ++commits;
    return store.Commit(transaction);
  });
  auto release = Hold();
  std::vector<std::future<absl::StatusOr<Committed>>> all;
  for (int i = 0; i < 100; ++i) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<Committed>>>();
    all.push_back(promise->get_future());
    ledger_->Issue(NewCertificate("a"), std::nullopt, "test",
                   [promise](absl::StatusOr<Committed> result) { promise->set_value(result); });
  }
  release.set_value();
  for (int i = 0; i < 100; ++i) {
    const auto result = all[static_cast<std::size_t>(i)].get();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->sequence, i + 1) << "in the order in which they came";
  }
  EXPECT_EQ(commits, 1);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(CommitterTest, ABatchKeepsToTheStoresLimits) {
  store_->SetLimits({.operations = 10, .bytes = 4000});
  std::atomic<int> commits = 0;
  store_->SetOnCommit([&](Store& store, const Transaction& transaction) {
    EXPECT_LE(transaction.puts.size(), 10);
    EXPECT_LE(transaction.conditions.size(), 10);
    EXPECT_TRUE(CheckTransaction(transaction, store_->limits()).ok());
    ++commits;
    return store.Commit(transaction);
  });
  auto release = Hold();
  std::atomic<int> good = 0;
  for (int i = 0; i < 20; ++i) {
    ledger_->Issue(NewCertificate("a"), std::nullopt, "test",
                   [&](absl::StatusOr<Committed> result) { good += result.ok(); });
  }
  release.set_value();
  const auto large = Put("large", std::string(5000, 'x'), std::nullopt);
  EXPECT_TRUE(absl::IsInvalidArgument(large.status())) << large.status();
  EXPECT_EQ(good, 20);
  EXPECT_GE(commits, 5);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(CommitterTest, OneFailureDoesNotFailTheOthersOfItsBatch) {
  ASSERT_TRUE(AddToken(NewToken("secret", "one")).ok());
  const Certificate taken = NewCertificate("a");
  ASSERT_TRUE(Issue(taken).ok());
  auto release = Hold();
  std::vector<absl::StatusCode> codes;  // by the ledger's thread, in order
  const auto record = [&](const absl::StatusOr<Committed>& result) {
    codes.push_back(result.status().code());
  };
  const Payment payment{.digest = DigestHex("secret"), .subject = "one"};
  ledger_->Issue(NewCertificate("a"), std::nullopt, "test", record);
  ledger_->Issue(taken, std::nullopt, "test", record);
  ledger_->PutDocument("d", "1", 0, std::nullopt, "test", record);
  ledger_->PutDocument("d", "2", 0, std::nullopt, "test", record);
  ledger_->Issue(NewCertificate("a"), payment, "test", record);
  ledger_->Issue(NewCertificate("a"), payment, "test", record);
  ledger_->Note({.event = "bad text \xff"}, record);
  ledger_->Note({.event = "good text"}, record);
  release.set_value();
  ASSERT_TRUE(Issue(NewCertificate("a")).ok());
  using enum absl::StatusCode;
  std::multiset<absl::StatusCode> sorted(codes.begin(), codes.end());
  EXPECT_THAT(sorted, ElementsAre(kOk, kOk, kOk, kOk, kInvalidArgument, kAlreadyExists,
                                  kPermissionDenied, kAborted));
  EXPECT_EQ((*reader_.FindDocument("d"))->value, "1");
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(CommitterTest, AFullQueueRefuses) {
  Reopen({.queue = 2});
  auto release = Hold();
  std::atomic<int> answered = 0;
  const auto count = [&](const absl::StatusOr<Committed>& result) { answered += result.ok(); };
  ledger_->Note({.event = "1"}, count);
  ledger_->Note({.event = "2"}, count);
  const auto refused =
      Ledger::Await([&](Ledger::Done done) { ledger_->Note({.event = "3"}, std::move(done)); });
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
  EXPECT_TRUE(absl::IsResourceExhausted(ledger_->Read([](const Reader&) {})));
  release.set_value();
  ledger_.reset();
  EXPECT_LE(answered, 2);
}

TEST_F(CommitterTest, ALostAnswerOfAnAppliedCommitIsSuccess) {
  std::atomic<int> calls = 0;
  store_->SetOnCommit(
      [&](Store& store, const Transaction& transaction) -> absl::StatusOr<std::int64_t> {
        const auto result = store.Commit(transaction);
        if (++calls == 1) return absl::UnknownError("lost");
        return result;
      });
  const auto committed = Issue(NewCertificate("a"));
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_EQ(committed->revision, (*sqlite_->Get(AuditKey(1)))->revision);
  EXPECT_TRUE(Issue(NewCertificate("a")).ok());
  EXPECT_EQ(reader_.FindHead()->head.sequence, 2);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(CommitterTest, ALostCommitIsMadeAgain) {
  std::atomic<int> calls = 0;
  store_->SetOnCommit(
      [&](Store& store, const Transaction& transaction) -> absl::StatusOr<std::int64_t> {
        if (++calls <= 2) return absl::UnknownError("lost");
        return store.Commit(transaction);
      });
  ASSERT_TRUE(Issue(NewCertificate("a")).ok());
  EXPECT_EQ(reader_.FindHead()->head.sequence, 1);
}

TEST_F(CommitterTest, ACommitThatArrivesLateIsNotMadeTwice) {
  std::atomic<int> calls = 0;
  Transaction under_way;
  store_->SetOnCommit(
      [&](Store& store, const Transaction& transaction) -> absl::StatusOr<std::int64_t> {
        switch (++calls) {
          case 1:  // on its way, while the ledger looks for it
            under_way = transaction;
            return absl::UnknownError("lost");
          case 2:  // the first one arrives just before the second
            EXPECT_TRUE(store.Commit(under_way).ok());
            return store.Commit(transaction);
          default:
            return store.Commit(transaction);
        }
      });
  ASSERT_TRUE(Issue(NewCertificate("a")).ok());
  EXPECT_EQ(reader_.Certificates("", 10)->size(), 1);
  EXPECT_EQ(reader_.FindHead()->head.sequence, 1);
  EXPECT_EQ(calls, 2);
}

TEST_F(CommitterTest, ALostCommitBehindAnotherReplicasIsMadeAgain) {
  std::atomic<int> calls = 0;
  auto other = *Ledger::Open(sqlite_, {});
  store_->SetOnCommit(
      [&](Store& store, const Transaction& transaction) -> absl::StatusOr<std::int64_t> {
        if (++calls > 1) return store.Commit(transaction);
        EXPECT_TRUE(Ledger::Await([&](Ledger::Done done) {
                      other->Note({.event = "faster"}, std::move(done));
                    }).ok());
        return absl::UnknownError("lost");
      });
  const auto committed = Issue(NewCertificate("a"));
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_EQ(committed->sequence, 2);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(CommitterTest, WaitsForAStoreThatIsAwayAShortTime) {
  std::atomic<int> calls = 0;
  store_->SetOnCommit(
      [&](Store& store, const Transaction& transaction) -> absl::StatusOr<std::int64_t> {
        if (++calls <= 3) return absl::UnavailableError("away");
        return store.Commit(transaction);
      });
  EXPECT_TRUE(Issue(NewCertificate("a")).ok());
}

TEST_F(CommitterTest, AnswersInTimeWhenTheStoreStaysAway) {
  Reopen({.patience = milliseconds(300)});
  const auto issue = [&] {
    const auto begin = std::chrono::steady_clock::now();
    const absl::Status status = Issue(NewCertificate("a")).status();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(1500));
    return status;
  };
  store_->SetOnCommit([](Store&, const Transaction&) { return absl::UnavailableError("away"); });
  EXPECT_TRUE(absl::IsUnavailable(issue()));
  store_->SetOnCommit([](Store&, const Transaction&) { return absl::UnknownError("lost"); });
  EXPECT_TRUE(absl::IsUnknown(issue()));
  store_->SetOnRead([] { return absl::UnavailableError("away"); });
  EXPECT_TRUE(absl::IsUnavailable(issue()));
  store_->SetOnRead(nullptr);
  store_->SetOnCommit(nullptr);
  EXPECT_TRUE(Issue(NewCertificate("a")).ok());
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(CommitterTest, ClosingAnswersWhatWaits) {
  store_->SetOnCommit([](Store&, const Transaction&) { return absl::UnavailableError("away"); });
  std::atomic<int> unavailable = 0;
  for (int i = 0; i < 10; ++i) {
    ledger_->Note({.event = "x"}, [&](const absl::StatusOr<Committed>& result) {
      unavailable += absl::IsUnavailable(result.status());
    });
  }
  const auto begin = std::chrono::steady_clock::now();
  ledger_.reset();
  EXPECT_EQ(unavailable, 10);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(CommitterTest, TwoReplicasShareALog) {
  auto other_store = std::shared_ptr<Store>(*SqliteStore::Open({.path = path_}));
  auto other = *Ledger::Open(other_store, {});
  std::atomic<int> good = 0;
  const auto work = [&](Ledger& ledger) {
    for (int i = 0; i < 100; ++i) {
      good += Ledger::Await([&](Ledger::Done done) {
                ledger.Issue(NewCertificate("a"), std::nullopt, "test", std::move(done));
              }).ok();
    }
  };
  std::thread second([&] { work(*other); });
  work(*ledger_);
  second.join();
  EXPECT_EQ(good, 200);
  EXPECT_EQ(reader_.FindHead()->head.sequence, 200);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(CommitterTest, TwoReplicasSpendATokenOnce) {
  auto other = *Ledger::Open(std::shared_ptr<Store>(*SqliteStore::Open({.path = path_})), {});
  std::atomic<int> good = 0;
  for (int i = 0; i < 30; ++i) {
    const std::string secret = absl::StrCat("secret", i);
    ASSERT_TRUE(AddToken(NewToken(secret, "one")).ok());
    const auto pay = [&](Ledger& ledger) {
      good += Ledger::Await([&](Ledger::Done done) {
                ledger.Issue(NewCertificate("a"),
                             Payment{.digest = DigestHex(secret), .subject = "one"}, "test",
                             std::move(done));
              }).ok();
    };
    std::thread second([&] { pay(*other); });
    pay(*ledger_);
    second.join();
  }
  EXPECT_EQ(good, 30);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(CommitterTest, RecordsNothingBehindABrokenLog) {
  ASSERT_TRUE(Issue(NewCertificate("a")).ok());
  ASSERT_TRUE(sqlite_->Commit({.puts = {{AuditKey(2), "planted"}}}).ok());
  const auto refused = Issue(NewCertificate("a"));
  EXPECT_TRUE(absl::IsDataLoss(refused.status())) << refused.status();
  EXPECT_EQ((*sqlite_->Get(AuditKey(2)))->value, "planted");
  ASSERT_TRUE(sqlite_->Commit({.deletes = {AuditKey(1), AuditKey(2)}}).ok());
  const auto opened = Ledger::Open(store_, {});
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("01, is missing"));
  ASSERT_TRUE(sqlite_->Commit({.puts = {{AuditKey(1), "planted"}}, .deletes = {"head"}}).ok());
  EXPECT_TRUE(absl::IsDataLoss(Ledger::Open(store_, {}).status()));
}

}  // namespace
}  // namespace tombolo::ca
