// SPDX-License-Identifier: Apache-2.0
#include "agent/dial_slots.h"

#include <memory>
#include <optional>

#include <gtest/gtest.h>

#include "unit/tls/loop.h"

namespace tombolo::agent {
namespace {

using Asked = std::shared_ptr<std::optional<absl::StatusOr<DialSlots::Slot>>>;
using std::chrono::milliseconds;

class DialSlotsTest : public ::testing::Test {
 protected:
  Asked Ask(Duration patience = std::chrono::seconds(10)) {
    auto asked = loop_.Start(slots_.Take(After(patience)));
    loop_.Settle(milliseconds(5));
    return asked;
  }
  static bool Has(const Asked& asked) { return asked->has_value() && (*asked)->ok(); }

  testing::Loop loop_;
  DialSlots slots_{loop_.poller(), 2};
};

TEST_F(DialSlotsTest, FirstComeFirstServed) {
  const Asked first = Ask();
  const Asked second = Ask();
  const Asked third = Ask();
  const Asked fourth = Ask();
  EXPECT_TRUE(Has(first) && Has(second));
  EXPECT_FALSE(Has(third) || Has(fourth));
  second->reset();
  loop_.Settle(milliseconds(5));
  EXPECT_TRUE(Has(third));
  EXPECT_FALSE(Has(fourth));
  first->reset();
  third->reset();
  loop_.Settle(milliseconds(5));
  EXPECT_TRUE(Has(fourth));
  EXPECT_TRUE(Has(Ask()));
}

TEST_F(DialSlotsTest, WhoDoesNotWaitHasOneThatIsFree) {
  std::optional<DialSlots::Slot> first = slots_.TakeFree();
  const std::optional<DialSlots::Slot> second = slots_.TakeFree();
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(slots_.TakeFree());
  const Asked third = Ask();
  EXPECT_FALSE(Has(third));
  first.reset();
  loop_.Settle(milliseconds(5));
  EXPECT_TRUE(Has(third)) << "who waits comes first";
  EXPECT_FALSE(slots_.TakeFree());
}

TEST_F(DialSlotsTest, WhoCannotWaitLeavesTheQueue) {
  const Asked first = Ask();
  const Asked second = Ask();
  const Asked impatient = Ask(milliseconds(1));
  ASSERT_TRUE(loop_.RunUntil([&] { return impatient->has_value(); }));
  EXPECT_TRUE(absl::IsDeadlineExceeded((*impatient)->status()));
  first->reset();
  EXPECT_TRUE(Has(Ask()));
}

}  // namespace
}  // namespace tombolo::agent
