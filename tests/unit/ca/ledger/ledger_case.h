// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "faulty_store.h"
#include "ledger/ledger.h"
#include "ledger/verify.h"
#include "store/sqlite_store.h"
#include "testing/temporary_directory.h"
#include "tls/serial.h"

namespace tombolo::ca {

inline Certificate NewCertificate(const std::string& subject) {
  const WallTime now = std::chrono::system_clock::now();
  return {.serial = tls::Serial::Random().hex(),
          .subject = subject,
          .not_before = now,
          .not_after = now + std::chrono::hours(1),
          .issuer_key = "ab12",
          .requester = "node/one",
          .node = "one",
          .certificate = DigestHex(subject)};
}

inline Token NewToken(const std::string& text, const std::string& node) {
  return {.digest = DigestHex(text),
          .kind = Kind::kNode,
          .subject = node,
          .expires = std::chrono::system_clock::now() + std::chrono::hours(1)};
}

// A ledger on SQLite, with a store that may fail in between.
class LedgerCase : public ::testing::Test {
 protected:
  LedgerCase() { Reopen({}); }

  void Reopen(Ledger::Options options) {
    ledger_.reset();
    auto ledger = Ledger::Open(store_, std::move(options));
    ASSERT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
  }

  absl::StatusOr<Committed> Issue(const Certificate& certificate,
                                  std::optional<Payment> payment = std::nullopt) {
    return Ledger::Await(
        [&](Ledger::Done done) { ledger_->Issue(certificate, payment, "test", std::move(done)); });
  }
  absl::StatusOr<Committed> AddToken(const Token& token) {
    return Ledger::Await(
        [&](Ledger::Done done) { ledger_->AddToken(token, "test", std::move(done)); });
  }
  absl::StatusOr<Committed> Revoke(Kind kind, const std::string& subject) {
    return Ledger::Await([&](Ledger::Done done) {
      ledger_->Revoke({.kind = kind, .subject = subject, .reason = "stolen"}, std::nullopt, "test",
                      std::move(done));
    });
  }
  absl::StatusOr<Committed> Put(const std::string& name, const std::string& value,
                                std::optional<std::int64_t> revision) {
    return Ledger::Await([&](Ledger::Done done) {
      ledger_->PutDocument(name, value, revision, std::nullopt, "test", std::move(done));
    });
  }
  absl::StatusOr<Committed> Delete(const std::string& name, std::optional<std::int64_t> revision) {
    return Ledger::Await([&](Ledger::Done done) {
      ledger_->DeleteDocument(name, revision, "test", std::move(done));
    });
  }

  std::vector<std::string> Findings(const std::string& expected = "") {
    const auto report = Verify(*sqlite_, expected);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? report->findings : std::vector<std::string>{"unreadable"};
  }

  testing::TemporaryDirectory directory_;
  const std::string path_ = directory_ / "store.db";
  std::shared_ptr<Store> sqlite_ = *SqliteStore::Open({.path = path_});
  std::shared_ptr<FaultyStore> store_ = std::make_shared<FaultyStore>(sqlite_);
  Reader reader_{*sqlite_};
  std::unique_ptr<Ledger> ledger_;
};

}  // namespace tombolo::ca
