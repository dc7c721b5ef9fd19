// SPDX-License-Identifier: Apache-2.0
#include "net/http_lines.h"

#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "testing/scripted_stream.h"

namespace tombolo::net {
namespace {

using testing::ScriptedStream;

constexpr char kChunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string Chunk(const std::string& bytes) {
  return absl::StrCat(absl::Hex(bytes.size()), "\r\n", bytes, "\r\n");
}

class HttpLinesTest : public ::testing::Test {
 protected:
  void Ask(const std::string& answer, std::size_t step = 1 << 20) {
    sent_.clear();
    auto lines = HttpLines::Begin(
        HttpConnection(std::make_unique<ScriptedStream>(answer, step, &sent_), "etcd:2379"),
        {.path = "/watch", .body = "{}", .authorization = "token"}, Soon());
    ASSERT_TRUE(lines.ok()) << lines.status();
    lines_ = *std::move(lines);
  }
  absl::StatusOr<HttpAnswer> Next() { return lines_->Next(Soon()); }
  static MonotonicTime Soon() { return After(std::chrono::seconds(1)); }

  std::string sent_;
  std::unique_ptr<HttpLines> lines_;
};

TEST_F(HttpLinesTest, LinesAreNotChunks) {
  const std::string answer = absl::StrCat(kChunked, Chunk("fi"), Chunk("rst\nse"), Chunk("cond"),
                                          Chunk("\n\nlast\n"), "0\r\n\r\n");
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
    ASSERT_NO_FATAL_FAILURE(Ask(answer, step));
    EXPECT_EQ(sent_,
              "POST /watch HTTP/1.1\r\nHost: etcd:2379\r\nAccept: application/json\r\n"
              "Authorization: token\r\nContent-Type: application/json\r\n"
              "Content-Length: 2\r\n\r\n{}");
    for (const char* line : {"first", "second", "", "last"}) {
      const auto next = Next();
      ASSERT_TRUE(next.ok()) << next.status();
      EXPECT_EQ(next->status, 200);
      EXPECT_EQ(next->body, line);
    }
    EXPECT_TRUE(absl::IsUnavailable(Next().status()));
  }
}

TEST_F(HttpLinesTest, AnEndInALineIsNone) {
  ASSERT_NO_FATAL_FAILURE(Ask(absl::StrCat(kChunked, Chunk("whole\nha"))));
  EXPECT_EQ(Next()->body, "whole");
  EXPECT_TRUE(absl::IsUnavailable(Next().status()));
  ASSERT_NO_FATAL_FAILURE(Ask("SSH-2.0-x\r\n\r\n"));
  EXPECT_TRUE(absl::IsUnavailable(Next().status()));
}

TEST_F(HttpLinesTest, ARefusalIsOneAnswer) {
  for (const std::size_t step : {std::size_t{1}, std::size_t{1000}}) {
    ASSERT_NO_FATAL_FAILURE(Ask("HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\ntwo\nlines", step));
    const auto refusal = Next();
    ASSERT_TRUE(refusal.ok()) << refusal.status();
    EXPECT_EQ(refusal->status, 401);
    EXPECT_EQ(refusal->body, "two\nlines");
    EXPECT_TRUE(absl::IsUnavailable(Next().status()));
  }
}

TEST_F(HttpLinesTest, LinesAreBounded) {
  const std::string most(HttpLines::kMaxLine, 'x');
  ASSERT_NO_FATAL_FAILURE(Ask(absl::StrCat(kChunked, Chunk(most + "\n"), Chunk("y\n"))));
  EXPECT_EQ(Next()->body.size(), most.size());
  EXPECT_EQ(Next()->body, "y");
  ASSERT_NO_FATAL_FAILURE(Ask(absl::StrCat(kChunked, Chunk(most + "xx"))));
  const absl::Status refused = Next().status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_NE(refused.message().find("8388608 bytes"), refused.message().npos) << refused;
}

}  // namespace
}  // namespace tombolo::net
