// SPDX-License-Identifier: Apache-2.0
#include "ledger/ledger.h"

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "ledger/changes.h"
#include "ledger_case.h"

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LedgerTest : public LedgerCase {
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

TEST_F(LedgerTest, RecordsACertificateWithItsEntry) {
  const Certificate certificate = NewCertificate("spiffe://test.example/a");
  const auto committed = Issue(certificate);
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_EQ(committed->sequence, 1);
  const auto found = reader_.FindCertificate(certificate.serial);
  ASSERT_TRUE(found.ok() && *found) << found.status();
  EXPECT_EQ((*found)->sequence, 1);
  const auto entries = reader_.Entries(0, 10);
  ASSERT_EQ(entries->size(), 1);
  EXPECT_EQ((*entries)[0].event, "certificate issued");
  EXPECT_EQ((*entries)[0].actor, "test");
  EXPECT_EQ((*entries)[0].details.at("serial"), certificate.serial);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(LedgerTest, WhatWasGrantedBeforeARevocationIsNotRecordedAfterIt) {
  const auto issue = [&](const Basis& basis) {
    return Ledger::Await([&](Ledger::Done done) {
             ledger_->Issue(NewCertificate("a"), std::nullopt, basis, "test", std::move(done));
           })
        .status();
  };
  EXPECT_TRUE(issue({}).ok());
  ASSERT_TRUE(Put("trust", "x", 0).ok());
  EXPECT_TRUE(absl::IsAborted(issue({})));
  const AuditHead put = reader_.FindHead()->head;
  EXPECT_TRUE(issue({.revocation = 0, .document = put.document}).ok());
  // By somebody else, of whom this ledger does not know yet.
  auto other = *Ledger::Open(sqlite_, {});
  const auto revoked = Ledger::Await([&](Ledger::Done done) {
    other->Revoke({.kind = Kind::kWorkload, .subject = "a", .reason = "x", .time = {}}, "test",
                  std::move(done));
  });
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_TRUE(absl::IsAborted(issue({.revocation = 0, .document = put.document})));
  const AuditHead head = reader_.FindHead()->head;
  EXPECT_TRUE(issue({.revocation = head.revocation, .document = head.document}).ok());
  const auto again = Ledger::Await([&](Ledger::Done done) {
    other->PutDocument("trust", "y", std::nullopt, "test", std::move(done));
  });
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(issue({.revocation = head.revocation, .document = again->sequence}).ok())
      << "granted by what this ledger has not read yet";
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(LedgerTest, ASerialIsTakenOnce) {
  const Certificate certificate = NewCertificate("a");
  ASSERT_TRUE(Issue(certificate).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Issue(certificate).status()));
  EXPECT_EQ(reader_.FindHead()->head.sequence, 1);
}

TEST_F(LedgerTest, ATokenPaysOnceForWhomItIsFor) {
  ASSERT_TRUE(AddToken(NewToken("secret", "one")).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(AddToken(NewToken("secret", "two")).status()));
  const std::string digest = DigestHex("secret");
  const auto pay = [&](const Payment& payment) {
    return std::string(Issue(NewCertificate("a"), payment).status().message());
  };
  EXPECT_EQ(pay({.digest = DigestHex("x"), .subject = "one"}), "the join token is not known");
  EXPECT_EQ(pay({.digest = digest, .subject = "two"}),
            "the join token is for node 'one', not for node 'two'");
  EXPECT_EQ(pay({.digest = digest, .kind = Kind::kWorkload, .subject = "one"}),
            "the join token is for node 'one', not for workload 'one'");
  const Certificate paid = NewCertificate("a");
  ASSERT_TRUE(Issue(paid, Payment{.digest = digest, .subject = "one"}).ok());
  EXPECT_EQ((*reader_.FindToken(digest))->serial, paid.serial);
  const auto again = Issue(NewCertificate("a"), Payment{.digest = digest, .subject = "one"});
  EXPECT_TRUE(absl::IsPermissionDenied(again.status()));
  EXPECT_EQ(again.status().message(), "the join token has been used already");
  EXPECT_EQ(reader_.Certificates("", 10)->size(), 1);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(LedgerTest, ATokenPaysAgainForTheSameKey) {
  ASSERT_TRUE(AddToken(NewToken("secret", "one")).ok());
  const auto pay = [&](const Certificate& certificate, const std::string& key) {
    return Issue(certificate, Payment{.digest = DigestHex("secret"), .subject = "one", .key = key});
  };
  const Certificate first = NewCertificate("a"), second = NewCertificate("a");
  ASSERT_TRUE(pay(first, "k1").ok());
  EXPECT_TRUE(absl::IsPermissionDenied(pay(NewCertificate("a"), "k2").status()));
  EXPECT_TRUE(absl::IsPermissionDenied(pay(NewCertificate("a"), "").status()));
  const auto again = pay(second, "k1");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*reader_.FindToken(DigestHex("secret")))->serial, second.serial);
  EXPECT_EQ(reader_.Entries(again->sequence - 1, 1)->at(0).details.at("replaces"), first.serial);
  EXPECT_EQ(reader_.Certificates("", 10)->size(), 2);
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(LedgerTest, AnExpiredTokenDoesNotPay) {
  Token token = NewToken("secret", "one");
  token.expires = std::chrono::system_clock::now() - std::chrono::seconds(1);
  ASSERT_TRUE(AddToken(token).ok());
  EXPECT_EQ(Issue(NewCertificate("a"), Payment{.digest = token.digest, .subject = "one"})
                .status()
                .message(),
            "the join token has expired");
}

TEST_F(LedgerTest, ARemovedTokenDoesNotPay) {
  ASSERT_TRUE(AddToken(NewToken("secret", "one")).ok());
  const auto remove = [&] {
    return Ledger::Await([&](Ledger::Done done) {
      ledger_->RemoveToken(DigestHex("secret"), "test", std::move(done));
    });
  };
  EXPECT_TRUE(remove().ok());
  EXPECT_TRUE(absl::IsNotFound(remove().status()));
  EXPECT_FALSE(
      Issue(NewCertificate("a"), Payment{.digest = DigestHex("secret"), .subject = "one"}).ok());
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(LedgerTest, RevocationsComeInTheirOrder) {
  ASSERT_TRUE(Revoke(Kind::kNode, "one").ok());
  ASSERT_TRUE(Issue(NewCertificate("a")).ok());
  ASSERT_TRUE(Revoke(Kind::kCluster, "east").ok());
  const auto all = reader_.Revocations(0, 10);
  ASSERT_EQ(all->size(), 2);
  EXPECT_EQ((*all)[0].subject, "one");
  EXPECT_EQ((*all)[1].sequence, 3);
  EXPECT_EQ(reader_.Revocations(1, 10)->size(), 1);
  EXPECT_EQ(reader_.FindHead()->head.revocation, 3);
}

TEST_F(LedgerTest, DocumentsChangeOnlyAsExpected) {
  const auto first = Put("root-state", "1", 0);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*reader_.FindDocument("root-state"))->revision, first->revision);
  EXPECT_TRUE(absl::IsAborted(Put("root-state", "2", 0).status()));
  EXPECT_THAT(std::string(Put("root-state", "2", 999).status().message()),
              HasSubstr("document 'root-state' has changed since revision 999"));
  const auto second = Put("root-state", "2", first->revision);
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_TRUE(Put("root-state", "3", std::nullopt).ok());
  EXPECT_TRUE(absl::IsAborted(Delete("root-state", second->revision).status()));
  ASSERT_TRUE(Delete("root-state", std::nullopt).ok());
  EXPECT_FALSE(reader_.FindDocument("root-state")->has_value());
  EXPECT_TRUE(absl::IsInvalidArgument(Put("no good", "v", std::nullopt).status()));
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(LedgerTest, WhatWaitsIsCommittedTogether) {
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

TEST_F(LedgerTest, ABatchKeepsToTheStoresLimits) {
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

TEST_F(LedgerTest, OneFailureDoesNotFailTheOthersOfItsBatch) {
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
  ledger_->PutDocument("d", "1", 0, "test", record);
  ledger_->PutDocument("d", "2", 0, "test", record);
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

TEST_F(LedgerTest, AFullQueueRefuses) {
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

TEST_F(LedgerTest, ALostAnswerOfAnAppliedCommitIsSuccess) {
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

TEST_F(LedgerTest, ALostCommitIsMadeAgain) {
  std::atomic<int> calls = 0;
  store_->SetOnCommit(
      [&](Store& store, const Transaction& transaction) -> absl::StatusOr<std::int64_t> {
        if (++calls <= 2) return absl::UnknownError("lost");
        return store.Commit(transaction);
      });
  ASSERT_TRUE(Issue(NewCertificate("a")).ok());
  EXPECT_EQ(reader_.FindHead()->head.sequence, 1);
}

TEST_F(LedgerTest, ACommitThatArrivesLateIsNotMadeTwice) {
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

TEST_F(LedgerTest, ALostCommitBehindAnotherReplicasIsMadeAgain) {
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

TEST_F(LedgerTest, WaitsForAStoreThatIsAwayAShortTime) {
  std::atomic<int> calls = 0;
  store_->SetOnCommit(
      [&](Store& store, const Transaction& transaction) -> absl::StatusOr<std::int64_t> {
        if (++calls <= 3) return absl::UnavailableError("away");
        return store.Commit(transaction);
      });
  EXPECT_TRUE(Issue(NewCertificate("a")).ok());
}

TEST_F(LedgerTest, AnswersInTimeWhenTheStoreStaysAway) {
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

TEST_F(LedgerTest, ClosingAnswersWhatWaits) {
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

TEST_F(LedgerTest, TwoReplicasShareALog) {
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

TEST_F(LedgerTest, TwoReplicasSpendATokenOnce) {
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

TEST_F(LedgerTest, RecordsNothingBehindABrokenLog) {
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

TEST_F(LedgerTest, TellsOfChangesByAnybody) {
  std::mutex mutex;
  std::vector<std::string> heard;
  const auto listen = [&](const absl::StatusOr<Changes::Change>& change) {
    const std::lock_guard lock(mutex);
    heard.push_back(change.ok()
                        ? absl::StrCat(change->revocations ? "R" : "", change->documents ? "D" : "")
                        : "error");
  };
  const auto wait_for = [&](const std::vector<std::string>& expected) {
    for (int i = 0; i < 200; ++i) {
      std::this_thread::sleep_for(milliseconds(10));
      const std::lock_guard lock(mutex);
      if (heard == expected) return true;
    }
    return false;
  };
  const Changes changes(store_, {.interval = milliseconds(5)}, listen);
  EXPECT_TRUE(wait_for({"RD"}));
  auto other = *Ledger::Open(std::shared_ptr<Store>(*SqliteStore::Open({.path = path_})), {});
  const auto revoke = [&] {
    return Ledger::Await([&](Ledger::Done done) {
      other->Revoke({.kind = Kind::kNode, .subject = "one"}, "test", std::move(done));
    });
  };
  ASSERT_TRUE(revoke().ok());
  EXPECT_TRUE(wait_for({"RD", "R"}));
  ASSERT_TRUE(Issue(NewCertificate("a")).ok());
  std::this_thread::sleep_for(milliseconds(50));
  ASSERT_TRUE(Put("d", "1", std::nullopt).ok());
  EXPECT_TRUE(wait_for({"RD", "R", "D"})) << "a certificate is neither";
  store_->SetOnRead([] { return absl::UnavailableError("away"); });
  EXPECT_TRUE(wait_for({"RD", "R", "D", "error"})) << "once";
  ASSERT_TRUE(revoke().ok());
  store_->SetOnRead(nullptr);
  EXPECT_TRUE(wait_for({"RD", "R", "D", "error", "R"}));
  store_->SetOnRead([] { return absl::UnavailableError("away"); });
  EXPECT_TRUE(wait_for({"RD", "R", "D", "error", "R", "error"}));
  store_->SetOnRead(nullptr);
  EXPECT_TRUE(wait_for({"RD", "R", "D", "error", "R", "error", ""})) << "it is back, unchanged";
}

}  // namespace
}  // namespace tombolo::ca
