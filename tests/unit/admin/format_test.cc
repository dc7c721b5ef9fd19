// SPDX-License-Identifier: Apache-2.0
#include "cli/format.h"

#include <cstdint>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <gtest/gtest.h>

#include "cli/table.h"

namespace tombolo::cli {
namespace {

namespace json = boost::json;

TEST(FormatTest, MissingNullAndEmptyAreADash) {
  const json::value null, empty("");
  EXPECT_EQ(Text(nullptr), "-");
  EXPECT_EQ(Text(&null), "-");
  EXPECT_EQ(Text(&empty), "-");
  EXPECT_EQ(Bytes(nullptr), "-");
  EXPECT_EQ(Age(nullptr), "-");
  EXPECT_EQ(Relative(nullptr, absl::UnixEpoch()), "-");
  EXPECT_EQ(ShortId(nullptr), "-");
}

TEST(FormatTest, ControlCharactersDoNotReachTheTerminal) {
  const json::value text("a\x1b[31m\nb");
  EXPECT_EQ(Text(&text), "a\\x1b[31m\\x0ab");
}

TEST(FormatTest, NumbersStayExact) {
  const json::value big(18446744073709551615ULL), yes(true);
  EXPECT_EQ(Text(&big), "18446744073709551615");
  EXPECT_EQ(Text(&yes), "true");
}

TEST(FormatTest, BytesInTheUnitThatReads) {
  EXPECT_EQ(Bytes(std::uint64_t{0}), "0B");
  EXPECT_EQ(Bytes(std::uint64_t{1023}), "1023B");
  EXPECT_EQ(Bytes(std::uint64_t{1536}), "1.5KiB");
  EXPECT_EQ(Bytes(std::uint64_t{20} << 20), "20MiB");
  EXPECT_EQ(Bytes((std::uint64_t{1} << 20) - 1), "1.0MiB");
  EXPECT_EQ(Bytes(~std::uint64_t{0}), "16EiB");
}

TEST(FormatTest, AgesLikeKubectl) {
  EXPECT_EQ(Age(absl::Milliseconds(300)), "300ms");
  EXPECT_EQ(Age(absl::Seconds(119)), "119s");
  EXPECT_EQ(Age(absl::Seconds(200)), "3m20s");
  EXPECT_EQ(Age(absl::Minutes(90)), "90m");
  EXPECT_EQ(Age(absl::Hours(5)), "5h0m");
  EXPECT_EQ(Age(absl::Hours(30)), "30h");
  EXPECT_EQ(Age(absl::Hours(24 * 12)), "12d");
}

TEST(FormatTest, TimesRelativeToNow) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  const json::value past(absl::FormatTime(now - absl::Seconds(5), absl::UTCTimeZone()));
  const json::value future(absl::FormatTime(now + absl::Minutes(43), absl::UTCTimeZone()));
  const json::value other("soon");
  EXPECT_EQ(Relative(&past, now), "5s ago");
  EXPECT_EQ(Relative(&future, now), "in 43m");
  EXPECT_EQ(Relative(&other, now), "soon");
}

TEST(FormatTest, WorkloadIdsAreShortAndOthersWhole) {
  const json::value workload("spiffe://t.example/cluster/east/ns/shop/sa/curl");
  const json::value other("spiffe://t.example/node/n1");
  EXPECT_EQ(ShortId(&workload), "east/shop/curl");
  EXPECT_EQ(ShortId(&other), "spiffe://t.example/node/n1");
}

TEST(TableTest, AlignsByCharactersNotBytes) {
  Table table({"NAME", "N"});
  table.Add({"größe", "1"});
  table.Add({"ab", "2"});
  EXPECT_EQ(table.ToString(),
            "NAME    N\n"
            "größe   1\n"
            "ab      2\n");
}

}  // namespace
}  // namespace tombolo::cli
