// SPDX-License-Identifier: Apache-2.0
#include "core/refusals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::ca {
namespace {

using std::chrono::seconds;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

TEST(RefusalBudgetTest, ABurstThenAFewAndWhatWasLeftOut) {
  RefusalBudget budget;
  const MonotonicTime now = std::chrono::steady_clock::now();
  for (int i = 0; i < 30; ++i) EXPECT_EQ(budget.Take(kDenied, now), 0u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(budget.Take(kDenied, now), std::nullopt);
  EXPECT_EQ(budget.Take(kDenied, now + seconds(9)), std::nullopt);
  EXPECT_EQ(budget.Take(kDenied, now + seconds(11)), 6u);
  EXPECT_EQ(budget.Take(kDenied, now + seconds(12)), std::nullopt);
}

TEST(RefusalBudgetTest, OneKindDoesNotHideAnother) {
  RefusalBudget budget;
  const MonotonicTime now = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) (void)budget.Take(absl::StatusCode::kUnauthenticated, now);
  EXPECT_EQ(budget.Take(kDenied, now), 0u);
}

TEST(RefusalEntryTest, IsSafeToKeep) {
  const AuditEntry entry = RefusalEntry(absl::PermissionDeniedError("no \xff\n"), "a\nb",
                                        std::string(5000, 'x'), "10.0.0.1", 3);
  EXPECT_EQ(entry.event, "certificate refused");
  EXPECT_EQ(entry.actor, "a\\nb");
  EXPECT_EQ(entry.subject.size(), 512u);
  EXPECT_EQ(entry.details.at("reason"), "no \\xff\\n");
  EXPECT_EQ(entry.details.at("code"), "PERMISSION_DENIED");
  EXPECT_EQ(entry.details.at("left_out"), "3");
}

}  // namespace
}  // namespace tombolo::ca
