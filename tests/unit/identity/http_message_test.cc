// SPDX-License-Identifier: Apache-2.0
#include "identity/http_message.h"

#include <gtest/gtest.h>

namespace tombolo::identity {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

HttpAnswer WithStatus(unsigned status, std::string body = "") {
  return {.status = status, .content_type = {}, .retry_after = {}, .body = std::move(body)};
}

TEST(HttpStatusTest, TheCodeSaysWhatToDo) {
  for (const unsigned good : {200u, 204u, 304u}) {
    EXPECT_TRUE(ToStatus(WithStatus(good)).ok()) << good;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(ToStatus(WithStatus(400))));
  EXPECT_TRUE(absl::IsUnauthenticated(ToStatus(WithStatus(401))));
  EXPECT_TRUE(absl::IsPermissionDenied(ToStatus(WithStatus(403))));
  for (const unsigned later : {408u, 429u, 500u, 503u}) {
    EXPECT_TRUE(absl::IsUnavailable(ToStatus(WithStatus(later)))) << later;
  }
  for (const unsigned never : {0u, 100u, 302u, 404u, 415u}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(ToStatus(WithStatus(never)))) << never;
  }
}

TEST(HttpStatusTest, ARefusalIs401Or403) {
  for (const unsigned refused : {401u, 403u}) EXPECT_TRUE(IsRefusal(ToStatus(WithStatus(refused))));
  for (const unsigned other : {200u, 400u, 404u, 408u, 429u, 503u}) {
    EXPECT_FALSE(IsRefusal(ToStatus(WithStatus(other)))) << other;
  }
}

TEST(HttpStatusTest, QuotesTheFirstLine) {
  EXPECT_EQ(ToStatus(WithStatus(403, "not yours\nand more")).message(), "status 403: not yours");
  EXPECT_EQ(ToStatus(WithStatus(403, "\x1b[31mred")).message(), "status 403: ?[31mred");
  EXPECT_EQ(ToStatus(WithStatus(500)).message(), "status 500");
  EXPECT_LT(ToStatus(WithStatus(500, std::string(100'000, 'x'))).message().size(), 250u);
}

TEST(RestWantedTest, SecondsOrADate) {
  const WallTime now = WallTime(seconds(1'767'225'600));  // 2026-01-01T00:00:00Z
  const auto rest = [&](const char* text) {
    HttpAnswer answer = WithStatus(429);
    answer.retry_after = text;
    return RestWanted(answer, now, seconds(7));
  };
  EXPECT_EQ(rest("0"), seconds(0));
  EXPECT_EQ(rest("120"), seconds(120));
  EXPECT_EQ(rest("99999999999999999999"), hours(24));
  EXPECT_EQ(rest("Thu, 01 Jan 2026 00:01:00 GMT"), seconds(60));
  EXPECT_EQ(rest("Wed, 31 Dec 2025 23:59:00 GMT"), seconds(0));
  for (const char* bad : {"", "-1", "1.5", "soon"}) EXPECT_EQ(rest(bad), seconds(7)) << bad;
}

TEST(HasTypeTest, IgnoresParametersAndCase) {
  HttpAnswer answer = WithStatus(200);
  answer.content_type = "Application/PKCS7-mime ; smime-type=certs-only";
  EXPECT_TRUE(HasType(answer, "application/pkcs7-mime"));
  EXPECT_FALSE(HasType(answer, "application/json"));
  EXPECT_FALSE(HasType(WithStatus(200), "application/json"));
}

}  // namespace
}  // namespace tombolo::identity
