// SPDX-License-Identifier: Apache-2.0
#include "source/values.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>

namespace tombolo::source {
namespace {

TEST(ValuesTest, Ports) {
  EXPECT_EQ(*ParsePort("1"), 1);
  EXPECT_EQ(*ParsePort("65535"), 65535);
  for (const char* text : {"", "0", "65536", "-1", "+80", " 80", "80 ", "0x50", "080", "8e1",
                           "99999999999999999999"}) {
    EXPECT_FALSE(ParsePort(text).ok()) << text;
  }
  EXPECT_EQ(ParsePort("70000").status().message(), "'70000' is not a port (1 to 65535)");
}

TEST(ValuesTest, Durations) {
  EXPECT_EQ(*ParseDuration("500ms"), std::chrono::milliseconds(500));
  EXPECT_EQ(*ParseDuration("10s"), std::chrono::seconds(10));
  EXPECT_EQ(*ParseDuration("2m"), std::chrono::minutes(2));
  EXPECT_EQ(*ParseDuration("1h"), std::chrono::hours(1));
  EXPECT_EQ(*ParseDuration("0s"), Duration::zero());
  for (const char* text : {"", "10", "s", "-1s", "1.5s", "1 s", "1us", "1d", "1h30m", "25h",
                           "9999999999h", "99999999999999999999s"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
  EXPECT_FALSE(ParseDeadline("0s").ok());
  EXPECT_TRUE(ParseDeadline("1ms").ok());
}

TEST(ValuesTest, Labels) {
  for (const char* text : {"a", "7", "east-1", "a--b"}) EXPECT_TRUE(ParseLabel(text).ok()) << text;
  EXPECT_TRUE(ParseLabel(std::string(63, 'a')).ok());
  EXPECT_FALSE(ParseLabel(std::string(64, 'a')).ok());
  for (const char* text : {"", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "a b", "\xc3\xa4"}) {
    EXPECT_FALSE(ParseLabel(text).ok()) << text;
  }
}

TEST(ValuesTest, Times) {
  const auto time = ParseTime("2026-01-31T12:00:00Z");
  ASSERT_TRUE(time.ok()) << time.status();
  EXPECT_EQ(FormatTime(*time), "2026-01-31T12:00:00Z");
  EXPECT_EQ(FormatTime(*ParseTime("2026-01-31T13:00:00+01:00")), "2026-01-31T12:00:00Z");
  for (const char* text :
       {"", "now", "60s", "2026-01-31", "2026-01-31T12:00:00", "2026-13-31T12:00:00Z",
        "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "infinite-future"}) {
    EXPECT_FALSE(ParseTime(text).ok()) << text;
  }
}

TEST(ValuesTest, AbsolutePaths) {
  for (const char* text : {"/", "/a", "/a/b.c", "/a/..b"}) {
    EXPECT_TRUE(ParseAbsolutePath(text).ok()) << text;
  }
  for (const char* text : {"", "a", "./a", "//", "/a/", "/a//b", "/a/../b", "/.", "/a/."}) {
    EXPECT_FALSE(ParseAbsolutePath(text).ok()) << text;
  }
}

TEST(ValuesTest, LongValuesAreCutInMessages) {
  EXPECT_LT(ParsePort(std::string(100'000, '9')).status().message().size(), 300u);
}

TEST(ValuesTest, SuggestsTheNearestName) {
  EXPECT_EQ(DidYouMean("prot", {"port", "cgroup"}), "; did you mean 'port'?");
  EXPECT_EQ(DidYouMean("max_servces", {"max_services", "max_workloads"}),
            "; did you mean 'max_services'?");
  EXPECT_EQ(DidYouMean("tls", {"port", "cgroup"}), "");
  EXPECT_EQ(DidYouMean("x", {}), "");
}

}  // namespace
}  // namespace tombolo::source
