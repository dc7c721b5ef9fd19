// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <cstdint>
#include <string>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::log {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { SetUp(Level::kInfo, Format::kText); }
  using testing::Test::SetUp;

  static std::string Written(Level level, absl::string_view event, Fields fields) {
    testing::internal::CaptureStderr();
    Write(level, event, fields);
    return testing::internal::GetCapturedStderr();
  }
  static void SetUp(Level level, Format format) { log::SetUp(level, format); }
};

TEST_F(LogTest, TextIsOneLineWithTimeLevelEventAndFields) {
  SetUp(Level::kInfo, Format::kText);
  const std::string line =
      Written(Level::kInfo, "tunnel refused", {{"peer", "10.0.0.1:4242"}, {"attempts", 3}});
  EXPECT_THAT(line, MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z info    tunnel "
                                 "refused  peer=10\\.0\\.0\\.1:4242 attempts=3\n"));
}

TEST_F(LogTest, QuotesWhatWouldBreakALine) {
  SetUp(Level::kInfo, Format::kText);
  EXPECT_THAT(Written(Level::kError, "e", {{"why", "a \"b\"\nc"}}),
              EndsWith("e  why=\"a \\\"b\\\"\\nc\"\n"));
  EXPECT_THAT(Written(Level::kError, "e", {{"why", ""}}), EndsWith("e  why=\"\"\n"));
}

TEST_F(LogTest, FieldsOfEveryKind) {
  SetUp(Level::kInfo, Format::kText);
  const std::string line = Written(Level::kInfo, "e",
                                   {{"view", absl::string_view("v")},
                                    {"string", std::string("s")},
                                    {"bool", true},
                                    {"big", std::uint64_t{18446744073709551615u}},
                                    {"negative", -1},
                                    {"status", absl::UnavailableError("gone")}});
  EXPECT_THAT(line, HasSubstr("view=v string=s bool=true big=18446744073709551615 negative=-1 "
                              "status=gone"));
}

TEST_F(LogTest, JsonIsOneObjectALine) {
  SetUp(Level::kInfo, Format::kJson);
  const std::string line = Written(Level::kWarning, "an \"event\"", {{"key", "a\nb {} %v"}});
  const boost::json::value value = boost::json::parse(line);
  EXPECT_EQ(value.at("event").as_string(), "an \"event\"");
  EXPECT_EQ(value.at("level").as_string(), "warning");
  EXPECT_EQ(value.at("key").as_string(), "a\nb {} %v");
}

TEST_F(LogTest, LevelsBelowTheLimitAreSilent) {
  SetUp(Level::kWarning, Format::kText);
  EXPECT_EQ(Written(Level::kInfo, "e", {}), "");
  EXPECT_FALSE(Enabled(Level::kInfo));
  EXPECT_TRUE(Enabled(Level::kError));
}

}  // namespace
}  // namespace tombolo::log
