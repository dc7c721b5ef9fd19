// SPDX-License-Identifier: Apache-2.0
#include "base/rate_limited_log.h"

#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::log {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

constexpr int kBurst = static_cast<int>(LineBudget::kBurst);
constexpr int kPerSecond = static_cast<int>(LineBudget::kPerSecond);

int Admitted(LineBudget& budget, MonotonicTime now, int lines) {
  int admitted = 0;
  for (int i = 0; i < lines; ++i) admitted += budget.Take(now).has_value() ? 1 : 0;
  return admitted;
}

TEST(LineBudgetTest, ABurstThenSoManyASecondAndSaysHowManyWereLeftOut) {
  const MonotonicTime start{};
  LineBudget budget(start);
  EXPECT_EQ(Admitted(budget, start, kBurst + 30), kBurst);
  EXPECT_EQ(budget.Take(start + seconds(1)), std::optional<std::uint64_t>(30));
  EXPECT_EQ(Admitted(budget, start + seconds(1), 100), kPerSecond - 1);
  EXPECT_EQ(budget.Take(start + seconds(2)), std::optional<std::uint64_t>(101 - kPerSecond));
  EXPECT_EQ(budget.Take(start + seconds(2)), std::optional<std::uint64_t>(0));
}

TEST(LineBudgetTest, ALongSilenceSavesUpNoMoreThanABurst) {
  LineBudget budget(MonotonicTime{});
  EXPECT_EQ(Admitted(budget, MonotonicTime{} + std::chrono::hours(24), 1000), kBurst);
}

class WriteLimitedTest : public testing::Test {
 protected:
  ~WriteLimitedTest() override { SetLevel(Level::kInfo); }
  static std::string Written(absl::string_view kind, int lines) {
    testing::internal::CaptureStderr();
    for (int i = 0; i < lines; ++i) WriteLimited(Level::kInfo, "e", kind, {{"number", i}});
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(WriteLimitedTest, EachKindHasItsOwnBudget) {
  const std::string flood = Written("flood", 10 * kBurst);
  EXPECT_THAT(flood, HasSubstr("number=0"));
  EXPECT_LT(std::count(flood.begin(), flood.end(), '\n'), 2 * kBurst);
  EXPECT_THAT(Written("other", 1), Not(HasSubstr("suppressed")));
}

TEST_F(WriteLimitedTest, TheNextLineSaysHowManyWereLeftOut) {
  std::string text = Written("said", kBurst + 7);
  while (text.find("suppressed=") == std::string::npos) text += Written("said", 1);
  EXPECT_THAT(text, HasSubstr("suppressed="));
}

TEST_F(WriteLimitedTest, DebugLeavesNothingOut) {
  SetLevel(Level::kDebug);
  const std::string all = Written("debug", 3 * kBurst);
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 3 * kBurst);
}

}  // namespace
}  // namespace tombolo::log
