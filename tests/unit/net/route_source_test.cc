// SPDX-License-Identifier: Apache-2.0
#include "net/route_source.h"

#include <gtest/gtest.h>

namespace tombolo::net {
namespace {

// What there is wherever tests run.
TEST(RouteSourceTest, LoopbackIsReachedFromItself) {
  const auto source = SourceTo(*IpAddress::Parse("127.9.9.9"));
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->ToString(), "127.0.0.1");
}

TEST(RouteSourceTest, WhereNothingCanBeSentIsAnError) {
  EXPECT_FALSE(SourceTo(*IpAddress::Parse("255.255.255.255")).ok());  // without SO_BROADCAST
}

}  // namespace
}  // namespace tombolo::net
