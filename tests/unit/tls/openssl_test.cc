// SPDX-License-Identifier: Apache-2.0
#include "tls/openssl.h"

#include <memory>

#include <gtest/gtest.h>
#include <openssl/asn1.h>

namespace tombolo::tls {
namespace {

using std::chrono::hours;
using std::chrono::system_clock;

WallTime TimeOf(const char* text) {
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> time(ASN1_TIME_new(), ASN1_TIME_free);
  EXPECT_EQ(ASN1_TIME_set_string(time.get(), text), 1) << text;
  return ToWallTime(time.get());
}

TEST(OpensslTest, ATimeThatClocksDoNotReachIsTheirFirstOrLast) {
  EXPECT_EQ(TimeOf("19700102000000Z"), WallTime() + hours(24));
  EXPECT_EQ(TimeOf("99991231235959Z"), TimeOf("22620411234716Z"));
  EXPECT_LT(TimeOf("22620411234715Z"), TimeOf("22620411234716Z"));
  EXPECT_GT(TimeOf("99991231235959Z"), WallTime::max() - hours(1));
  for (const char* early : {"00010101000000Z", "16000101000000Z", "16770921001243Z"}) {
    EXPECT_LT(TimeOf(early), WallTime::min() + hours(1)) << early;
  }
  EXPECT_GT(TimeOf("16780101000000Z"), WallTime::min() + hours(1));
}

TEST(OpensslTest, NoTimeIsLongAgo) { EXPECT_EQ(ToWallTime(nullptr), WallTime::min()); }

}  // namespace
}  // namespace tombolo::tls
