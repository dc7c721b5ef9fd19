// SPDX-License-Identifier: Apache-2.0
#include "ledger/verify.h"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "ledger_case.h"

namespace tombolo::ca {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Five certificates (entries 1 to 5), a token (6), a revocation (7), a document
// (8) that is written again (9), and one that is deleted (10, 11).
class VerifyTest : public LedgerCase {
 protected:
  VerifyTest() {
    for (Certificate& certificate : certificates_) EXPECT_TRUE(Issue(certificate).ok());
    EXPECT_TRUE(AddToken(NewToken("secret", "one")).ok());
    EXPECT_TRUE(Revoke(Kind::kNode, "two").ok());
    EXPECT_TRUE(Put("d", "1", std::nullopt).ok());
    EXPECT_TRUE(Put("d", "2", std::nullopt).ok());
    EXPECT_TRUE(Put("e", "1", std::nullopt).ok());
    EXPECT_TRUE(Delete("e", std::nullopt).ok());
  }

  std::string Value(const std::string& key) { return (*sqlite_->Get(key))->value; }
  void Tamper(const std::string& key, const std::string& value) {
    ASSERT_TRUE(sqlite_->Commit({.puts = {{key, value}}}).ok());
  }
  void Remove(const std::string& key) { ASSERT_TRUE(sqlite_->Commit({.deletes = {key}}).ok()); }
  std::string CertKey(std::size_t entry) { return CertificateKey(certificates_[entry - 1].serial); }
  // As one who knows how the log is made, but cannot change what was noted.
  void Rechain(std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i <= last; ++i) {
      AuditEntry entry = *DecodeEntry(AuditKey(i), Value(AuditKey(i)));
      entry.previous = i == 1 ? FirstHead().digest : DigestHex(Value(AuditKey(i - 1)));
      Tamper(AuditKey(i), Encode(entry));
    }
    AuditHead head = *DecodeHead(Value(kHeadKey));
    head.sequence = last;
    head.digest = DigestHex(Value(AuditKey(last)));
    Tamper(kHeadKey, Encode(head));
  }

  std::vector<Certificate> certificates_ = {NewCertificate("a"), NewCertificate("b"),
                                            NewCertificate("c"), NewCertificate("d"),
                                            NewCertificate("e")};
};

TEST_F(VerifyTest, AWholeLogIsIntact) {
  const auto report = Verify(*sqlite_, "");
  ASSERT_TRUE(report.ok() && report->intact());
  EXPECT_EQ(report->head.sequence, 11);
  EXPECT_EQ(report->records, 8);
  EXPECT_THAT(Findings(report->head.digest), IsEmpty());
  ASSERT_TRUE(Revoke(Kind::kNode, "three").ok());
  EXPECT_THAT(Findings(report->head.digest), IsEmpty()) << "an older head is still in the chain";
}

TEST_F(VerifyTest, FindsAChangedEntry) {
  const std::string value = Value(AuditKey(3));
  Tamper(AuditKey(3), absl::StrReplaceAll(value, {{"\"actor\":\"test\"", "\"actor\":\"root\""}}));
  EXPECT_THAT(Findings(), ElementsAre("entry 3 is not the one that entry 4 follows: one of them "
                                      "was changed"));
  Tamper(AuditKey(3), value + " ");
  EXPECT_THAT(Findings(), Contains(HasSubstr("entry 3 was changed")));
  Tamper(AuditKey(3), "{}");
  EXPECT_THAT(Findings(), Contains(HasSubstr("entry 3 was changed: audit/")));
}

TEST_F(VerifyTest, FindsAChangedLastEntryAndHead) {
  const std::string value = Value(AuditKey(11));
  Tamper(AuditKey(11), absl::StrReplaceAll(value, {{"\"test\"", "\"root\""}}));
  EXPECT_THAT(Findings(), ElementsAre("entry 11 is not the one that the head names"));
  Tamper(AuditKey(11), value);
  EXPECT_THAT(Findings(), IsEmpty());
  Tamper(kHeadKey, "{}");
  EXPECT_THAT(Findings(), Contains(HasSubstr("head: 'sequence' is missing")));
}

TEST_F(VerifyTest, FindsARemovedEntry) {
  Remove(AuditKey(4));
  EXPECT_THAT(Findings(), Contains("entry 4 is missing"));
  EXPECT_THAT(Findings(), Contains(HasSubstr(CertKey(4) + " was inserted")));
}

TEST_F(VerifyTest, FindsACutOffEnd) {
  Remove(AuditKey(11));
  EXPECT_THAT(Findings(), Contains("entry 11 is missing: the log was cut off before its head"));
}

TEST_F(VerifyTest, FindsAnEndThatWasCutOffWithItsHead) {
  Remove(AuditKey(11));
  Remove(AuditKey(10));
  Remove(AuditKey(9));
  Rechain(8, 8);
  EXPECT_THAT(Findings(),
              ElementsAre("document/d was changed: it is not what entry 8 has written"));
}

TEST_F(VerifyTest, FindsEntriesBeyondTheHead) {
  Rechain(9, 9);
  EXPECT_THAT(Findings(), Contains(HasSubstr("10 is beyond the head, which is entry 9")));
}

TEST_F(VerifyTest, FindsReorderedEntries) {
  const std::string two = Value(AuditKey(2));
  Tamper(AuditKey(2), Value(AuditKey(3)));
  Tamper(AuditKey(3), two);
  EXPECT_THAT(Findings(), Contains(HasSubstr("entry 2 was changed: audit/00000000000000000002: "
                                             "says that it is entry 3")));
}

TEST_F(VerifyTest, FindsAnInsertedKey) {
  Tamper("audit/00000000000000000003x", Value(AuditKey(3)));
  EXPECT_THAT(Findings(), ElementsAre("audit/00000000000000000003x: not the key of an entry"));
}

TEST_F(VerifyTest, FindsRecordsThatTheLogDoesNotHave) {
  Certificate planted = NewCertificate("f");
  planted.sequence = 3;
  Tamper(CertificateKey(planted.serial), *Encode(planted));
  EXPECT_THAT(Findings(), ElementsAre(CertificateKey(planted.serial) +
                                      " was inserted: no entry of the log has written it"));
}

TEST_F(VerifyTest, FindsRecordsThatWereRemovedChangedOrPutBack) {
  Remove(CertKey(2));
  EXPECT_THAT(Findings(), ElementsAre(CertKey(2) + " is missing: entry 2 has written it"));
  Tamper(CertKey(2), Value(CertKey(1)));
  EXPECT_THAT(Findings(),
              ElementsAre(CertKey(2) + " was changed: it is not what entry 2 has written"));
  Tamper(CertKey(2), "x");
  Tamper("document/e", "1");
  EXPECT_THAT(Findings(), Contains("document/e is there: entry 11 has deleted it"));
  Remove(RevocationKey(7));
  EXPECT_THAT(Findings(), Contains(RevocationKey(7) + " is missing: entry 7 has written it"));
}

TEST_F(VerifyTest, OnlyANotedHeadShowsThatAllWasRewritten) {
  const std::string noted = DecodeHead(Value(kHeadKey))->digest;
  const std::string value = Value(AuditKey(3));
  Tamper(AuditKey(3), absl::StrReplaceAll(value, {{"\"actor\":\"test\"", "\"actor\":\"root\""}}));
  Rechain(4, 11);
  EXPECT_THAT(Findings(), IsEmpty());
  EXPECT_THAT(Findings(noted), ElementsAre("the log has no entry with the expected digest " +
                                           noted + ": it was rewritten or cut off"));
}

TEST_F(VerifyTest, BoundsWhatItReports) {
  AuditHead head = *DecodeHead(Value(kHeadKey));
  head.sequence = kMaxSequence;
  Tamper(kHeadKey, Encode(head));
  EXPECT_EQ(Findings().size(), 100);
}

TEST_F(VerifyTest, WhatIsWrittenMeanwhileIsNoFinding) {
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      EXPECT_TRUE(Issue(NewCertificate("x")).ok());
      EXPECT_TRUE(Put("d", std::to_string(i), std::nullopt).ok());
      EXPECT_TRUE(i % 2 == 0 ? Put("e", "1", std::nullopt).ok() : Delete("e", std::nullopt).ok());
    }
  });
  auto other = *SqliteStore::Open({.path = path_});
  for (int i = 0; i < 30; ++i) {
    const auto report = Verify(*other, "");
    EXPECT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(report->findings, IsEmpty());
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace tombolo::ca
