// SPDX-License-Identifier: Apache-2.0
#include "ledger/ledger.h"

#include <chrono>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger_case.h"

namespace tombolo::ca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using LedgerTest = LedgerCase;

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
    other->Revoke({.kind = Kind::kWorkload, .subject = "a", .reason = "x", .time = {}},
                  std::nullopt, "test", std::move(done));
  });
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_TRUE(absl::IsAborted(issue({.revocation = 0, .document = put.document})));
  const AuditHead head = reader_.FindHead()->head;
  EXPECT_TRUE(issue({.revocation = head.revocation, .document = head.document}).ok());
  const auto again = Ledger::Await([&](Ledger::Done done) {
    other->PutDocument("trust", "y", std::nullopt, std::nullopt, "test", std::move(done));
  });
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(issue({.revocation = head.revocation, .document = again->sequence}).ok())
      << "granted by what this ledger has not read yet";
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(LedgerTest, FindsWhatHasNotExpired) {
  const Certificate valid = NewCertificate("a");
  Certificate expired = NewCertificate("b"), just = NewCertificate("c");
  expired.not_after -= std::chrono::hours(2);
  just.not_after = std::chrono::system_clock::now();
  for (const Certificate& one : {valid, expired, just}) ASSERT_TRUE(Issue(one).ok());
  std::vector<std::string> found;
  const auto take = [&](const Certificate& one) { found.push_back(one.subject); };
  ASSERT_TRUE(reader_.ForEachValid(just.not_after, take).ok());
  EXPECT_THAT(found, ElementsAre("a"));
}

TEST_F(LedgerTest, RecordsWhatOthersHaveMade) {
  Certificate foreign = NewCertificate("intermediate east");
  foreign.serial = "01";
  const auto install = [&] {
    return Ledger::Await(
        [&](Ledger::Done done) { ledger_->Install(foreign, "test", std::move(done)); });
  };
  const auto installed = install();
  ASSERT_TRUE(installed.ok()) << installed.status();
  const AuditEntry entry = reader_.Entries(installed->sequence - 1, 1)->at(0);
  EXPECT_EQ(entry.event, "certificate installed");
  EXPECT_EQ(entry.details.at("serial"), "01");
  EXPECT_EQ((*reader_.FindCertificate("01"))->sequence, installed->sequence);
  EXPECT_TRUE(absl::IsAlreadyExists(install().status()));
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

}  // namespace
}  // namespace tombolo::ca
