// SPDX-License-Identifier: Apache-2.0
#include "net/http_connection.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "testing/scripted_stream.h"

namespace tombolo::net {
namespace {

using testing::ScriptedStream;
class HttpConnectionTest : public ::testing::Test {
 protected:
  absl::StatusOr<HttpAnswer> Ask(const std::string& answer, std::size_t step = 1 << 20) {
    sent_.clear();
    connection_ = std::make_unique<HttpConnection>(
        std::make_unique<ScriptedStream>(answer, step, &sent_), "etcd:2379");
    return connection_->Ask({.path = "/path", .body = "{\"a\":1}"}, After(std::chrono::seconds(1)));
  }

  std::string sent_;
  std::unique_ptr<HttpConnection> connection_;
};

TEST_F(HttpConnectionTest, AsksAndIsUsableAgain) {
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
    const auto answer = Ask("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", step);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, "hello");
    EXPECT_EQ(sent_,
              "POST /path HTTP/1.1\r\nHost: etcd:2379\r\nAccept: application/json\r\n"
              "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    EXPECT_TRUE(connection_->Usable());
  }
}

TEST_F(HttpConnectionTest, AsksWithoutABodyAndAsSomebody) {
  EXPECT_EQ((HttpRequest{.path = "/a?b", .authorization = "Bearer t"}).ToText("host:1"),
            "GET /a?b HTTP/1.1\r\nHost: host:1\r\nAccept: application/json\r\n"
            "Authorization: Bearer t\r\n\r\n");
}

TEST_F(HttpConnectionTest, ReadsChunks) {
  for (const std::size_t step : {std::size_t{1}, std::size_t{1000}}) {
    const auto answer = Ask(
        "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        step);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->status, 503);
    EXPECT_EQ(answer->body, "abcde");
    EXPECT_TRUE(connection_->Usable());
  }
}

TEST_F(HttpConnectionTest, ReadsUntilTheEnd) {
  const auto answer = Ask("HTTP/1.0 200 OK\r\n\r\nall of it", 4);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, "all of it");
  EXPECT_FALSE(connection_->Usable());
}

TEST_F(HttpConnectionTest, IsNotUsedAgainAfterMoreThanItsAnswer) {
  EXPECT_TRUE(Ask("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxyz").ok());
  EXPECT_FALSE(connection_->Usable());
  EXPECT_TRUE(Ask("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx").ok());
  EXPECT_FALSE(connection_->Usable());
}

TEST_F(HttpConnectionTest, HalfAnAnswerIsUnknown) {
  for (const char* answer :
       {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "SSH-2.0-x\r\n\r\n"}) {
    const auto lost = Ask(answer);
    EXPECT_TRUE(absl::IsUnknown(lost.status())) << answer << lost.status();
    EXPECT_FALSE(connection_->Usable());
  }
  EXPECT_TRUE(absl::IsUnknown(Ask("HTTP/1.1 200 OK\r\n\r\n", 0).status())) << "not even sent";
}

TEST_F(HttpConnectionTest, AnswersAreBounded) {
  const std::string huge(9 << 20, 'x');
  EXPECT_TRUE(absl::IsResourceExhausted(
      Ask(absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", huge.size(), "\r\n\r\n", huge))
          .status()));
  EXPECT_TRUE(absl::IsResourceExhausted(Ask("HTTP/1.0 200 OK\r\n\r\n" + huge).status()));
  EXPECT_TRUE(absl::IsUnknown(
      Ask(absl::StrCat("HTTP/1.1 200 OK\r\nX: ", huge.substr(0, 20 << 10), "\r\n\r\n")).status()));
}

}  // namespace
}  // namespace tombolo::net
