// SPDX-License-Identifier: Apache-2.0
#include "server/answer.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::ca::https {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr WallTime kNow{std::chrono::seconds(1784541906)};

TEST(AnswerTest, EveryCodeHasItsStatus) {
  const std::pair<absl::StatusCode, unsigned> table[] = {
      {absl::StatusCode::kInvalidArgument, 400},   {absl::StatusCode::kUnauthenticated, 401},
      {absl::StatusCode::kPermissionDenied, 403},  {absl::StatusCode::kNotFound, 404},
      {absl::StatusCode::kResourceExhausted, 429}, {absl::StatusCode::kUnavailable, 503},
      {absl::StatusCode::kUnknown, 503},           {absl::StatusCode::kDeadlineExceeded, 503},
      {absl::StatusCode::kInternal, 500},          {absl::StatusCode::kFailedPrecondition, 500},
      {absl::StatusCode::kAborted, 500},           {absl::StatusCode::kDataLoss, 500},
  };
  for (const auto& [code, status] : table) {
    EXPECT_EQ(RefuseFor(absl::Status(code, "why")).status, status)
        << absl::StatusCodeToString(code);
  }
}

TEST(AnswerTest, OnlyTheClientsFaultsAreExplainedToIt) {
  EXPECT_EQ(*RefuseFor(absl::PermissionDeniedError("not yours")).body, "not yours\n");
  for (const absl::Status& status :
       {absl::InternalError("10.0.0.9 is down"), absl::UnavailableError("10.0.0.9 is down"),
        absl::ResourceExhaustedError("10.0.0.9 is full")}) {
    const Answer answer = RefuseFor(status);
    EXPECT_THAT(*answer.body, Not(HasSubstr("10.0.0.9")));
    EXPECT_THAT(answer.reason, HasSubstr("10.0.0.9"));
  }
}

TEST(AnswerTest, AReasonIsOneShortLineOfAscii) {
  const Answer answer = Refuse(400, "a\r\nSet-Cookie: x\xff" + std::string(10000, 'a'));
  EXPECT_THAT(*answer.body, StartsWith("a??Set-Cookie: x?aaa"));
  EXPECT_LT(answer.body->size(), 600U);
}

TEST(AnswerTest, SaysWhenToComeBackAndNotToAllTheSame) {
  for (const unsigned status : {429U, 503U}) {
    std::set<std::string> times;
    for (int i = 0; i < 100; ++i) {
      const Answer answer = Refuse(status, "");
      for (const auto& [name, value] : answer.fields) {
        if (name == "Retry-After") times.insert(value);
      }
    }
    EXPECT_GT(times.size(), 1U) << status;
    EXPECT_EQ(times.count("0"), 0U) << status;
  }
}

TEST(AnswerTest, ChallengesWhoHasNoCredential) {
  const std::string head = HeadOf(Refuse(401, "no"), kNow, true);
  EXPECT_THAT(head, HasSubstr("WWW-Authenticate: Basic realm=\"tombolo-ca\"\r\n"));
  EXPECT_THAT(head, HasSubstr("WWW-Authenticate: Bearer realm=\"tombolo-ca\"\r\n"));
}

TEST(AnswerTest, WritesAHead) {
  const auto body = std::make_shared<const std::string>("12345");
  const std::string head = HeadOf(Document("text/x", body), kNow, true);
  EXPECT_EQ(head,
            "HTTP/1.1 200 OK\r\nDate: Mon, 20 Jul 2026 10:05:06 GMT\r\nCache-Control: no-cache\r\n"
            "Content-Type: text/x\r\nContent-Length: 5\r\n\r\n");
  EXPECT_THAT(HeadOf(Document("text/x", body), kNow, false),
              EndsWith("Content-Length: 5\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(HeadOf({.status = 304}, kNow, true), Not(HasSubstr("Content-")));
}

}  // namespace
}  // namespace tombolo::ca::https
