// SPDX-License-Identifier: Apache-2.0
#include "agent/mailbox.h"

#include <memory>

#include <gtest/gtest.h>

namespace tombolo::agent {
namespace {

TEST(MailboxTest, OnlyTheNewestWaits) {
  Mailbox<std::shared_ptr<int>> box;
  const auto old = std::make_shared<int>(1);
  EXPECT_TRUE(box.Put(old));
  EXPECT_FALSE(box.Put(std::make_shared<int>(2))) << "the taker has been told";
  EXPECT_EQ(old.use_count(), 1);
  const auto taken = box.Take();
  EXPECT_EQ(*taken, 2);
  EXPECT_EQ(taken.use_count(), 1);
  EXPECT_TRUE(box.Put(old));
}

}  // namespace
}  // namespace tombolo::agent
