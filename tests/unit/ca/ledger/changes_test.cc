// SPDX-License-Identifier: Apache-2.0
#include "ledger/changes.h"

#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "ledger_case.h"

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;

using ChangesTest = LedgerCase;

TEST_F(ChangesTest, TellsOfChangesByAnybody) {
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
      other->Revoke({.kind = Kind::kNode, .subject = "one"}, std::nullopt, "test", std::move(done));
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
