// SPDX-License-Identifier: Apache-2.0
// HTTP as those speak it who mean no good, or not well.
#include <gmock/gmock.h>

#include "server_case.h"

namespace tombolo::ca::https {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kBundle[] = "/.well-known/spiffe/bundle";

class ServerHttpTest : public ServerCase {
 protected:
  std::uint64_t Requests(std::size_t target, unsigned status) const {
    const auto& statuses = ServerCounters::kStatuses;
    const auto at = std::find(statuses.begin(), statuses.end(), status) - statuses.begin();
    return server_->counters().requests[target][static_cast<std::size_t>(at)];
  }
};

TEST_F(ServerHttpTest, KeepsTheConnectionForTheNextRequest) {
  Start();
  RawClient client = Connect();
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(client.Get(kBundle),
                AllOf(StartsWith("HTTP/1.1 200"), Not(HasSubstr("Connection: close"))));
  }
  EXPECT_THAT(client.Get("/nothing"), StartsWith("HTTP/1.1 404"));
  client.SendEnrol("!!!");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(client.Get(kBundle), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(server_->counters().accepted, 1U);
  EXPECT_EQ(Requests(static_cast<std::size_t>(Resource::kBundle), 200), 4U);
  EXPECT_EQ(Requests(static_cast<std::size_t>(Resource::kEnroll), 400), 1U);
  EXPECT_EQ(Requests(kResources, 404), 1U);
}

TEST_F(ServerHttpTest, AnswersPipelinedRequestsInOrder) {
  Start();
  RawClient client = Connect();
  client.Send(absl::StrCat("GET ", kBundle, " HTTP/1.1\r\nHost: x\r\n\r\n",
                           "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 404"));
}

TEST_F(ServerHttpTest, ClosesInOrderWhenItIsAskedTo) {
  Start();
  RawClient client = Connect();
  EXPECT_THAT(client.Get(kBundle, "Connection: close\r\n"), HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(client.AtOrderlyEnd());
  RawClient old = Connect();
  old.Send(absl::StrCat("GET ", kBundle, " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  EXPECT_THAT(old.ReadResponse(), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(old.AtOrderlyEnd());
}

TEST_F(ServerHttpTest, WhatIsMalformedIs400AndTheEnd) {
  Start();
  for (const char* request :
       {"this is not HTTP\r\n\r\n", "GET /v1/trust HTTP/1.1\r\n\r\n",
        "GET /v1/trust HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET /v1/trust HTTP/2.0\r\n\r\n",
        "GET /v1/trust HTTP/1.1\r\nHost : a\r\n\r\n",
        "POST /v1/trust HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST /v1/trust HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST /v1/trust HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
        "chunked\r\n\r\n"}) {
    RawClient client = Connect();
    client.Send(request);
    EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 400")) << request;
  }
  RawClient client = Connect();
  client.Send("nonsense\r\n\r\n");
  EXPECT_THAT(client.ReadResponse(), HasSubstr("Connection: close"));
  EXPECT_TRUE(client.AtOrderlyEnd());
}

TEST_F(ServerHttpTest, ABodyWhereNoneBelongsIsTheEnd) {
  Start();
  for (const char* fields : {"Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"}) {
    RawClient client = Connect();
    EXPECT_THAT(client.Get(kBundle, fields), StartsWith("HTTP/1.1 413")) << fields;
    EXPECT_TRUE(client.AtEnd());
  }
}

TEST_F(ServerHttpTest, HeadersHaveALimit) {
  Start({.header_bytes = 1024});
  RawClient fits = Connect();
  EXPECT_THAT(fits.Get(kBundle, "X: " + std::string(900, 'a') + "\r\n"),
              StartsWith("HTTP/1.1 200"));
  for (const std::size_t size : {std::size_t{1024}, std::size_t{100000}}) {
    RawClient client = Connect();
    EXPECT_THAT(client.Get(kBundle, "X: " + std::string(size, 'a') + "\r\n"),
                StartsWith("HTTP/1.1 431"));
    EXPECT_TRUE(client.AtEnd());
  }
}

TEST_F(ServerHttpTest, AHeaderThatDripsIs408) {
  Start({.header = milliseconds(500)});
  RawClient client = Connect();
  client.Send("GET /v1/trust HTTP/1.1\r\nX: ");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 408"));
  EXPECT_TRUE(client.AtOrderlyEnd());
}

TEST_F(ServerHttpTest, EachByteGainsNothing) {
  Start({.header = milliseconds(300)});
  RawClient client = Connect();
  client.Send("GET /v1/trust HTTP/1.1\r\nX: ");
  // Far longer than the limit when each byte would begin it anew.
  bool open = true;
  for (int i = 0; i < 3000 && open; ++i) {
    open = client.Send("a");
    std::this_thread::sleep_for(milliseconds(10));
    open = open && server_->counters().connections > 0;
  }
  EXPECT_FALSE(open);
}

TEST_F(ServerHttpTest, ABodyThatDripsIs408) {
  Start({.body = milliseconds(100)});
  RawClient client = Connect();
  client.Send(
      "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n"
      "Content-Type: application/pkcs10\r\nContent-Length: 100\r\n\r\nMII");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 408"));
  EXPECT_TRUE(client.AtOrderlyEnd());
  EXPECT_THAT(authority_.requests(), IsEmpty());
}

TEST_F(ServerHttpTest, WhoSaysNothingIsClosed) {
  Start({.header = milliseconds(50)});
  RawClient silent = Connect();
  EXPECT_TRUE(silent.AtOrderlyEnd());
}

TEST_F(ServerHttpTest, WhoSaysNothingMoreIsClosed) {
  Start({.idle = milliseconds(50)});
  RawClient idle = Connect();
  EXPECT_THAT(idle.Get(kBundle), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(idle.AtOrderlyEnd());
}

TEST_F(ServerHttpTest, WhoDoesNotShakeHandsIsClosed) {
  Start({.handshake = milliseconds(50)});
  asio::io_context io;
  asio::ip::tcp::socket unshaken(io);
  unshaken.connect({asio::ip::address_v4::loopback(), address().port});
  char byte = 0;
  boost::system::error_code error;
  unshaken.read_some(asio::buffer(&byte, 1), error);
  EXPECT_TRUE(error);
  const auto timeout = static_cast<std::size_t>(tls::HandshakeFailure::kTimeout);
  EXPECT_TRUE(Eventually([&] { return server_->counters().handshakes_failed[timeout] == 1; }));
}

TEST_F(ServerHttpTest, EnrolmentsBeyondTheLimitAre429) {
  Start({.enrolments = 1});
  authority_.Hold();
  RawClient first = Connect();
  first.SendEnrol("AAAA");
  ASSERT_TRUE(Eventually([&] { return server_->counters().enrolling == 1; }));
  RawClient second = Connect();
  second.SendEnrol("AAAA");
  EXPECT_THAT(second.ReadResponse(), AllOf(StartsWith("HTTP/1.1 429"), HasSubstr("Retry-After: ")));
  authority_.AnswerHeld(1, absl::PermissionDeniedError("no"));
  EXPECT_THAT(first.ReadResponse(), StartsWith("HTTP/1.1 403"));
  EXPECT_EQ(server_->counters().enrolling, 0);
  second.SendEnrol("AAAA");
  authority_.AnswerHeld(1, absl::PermissionDeniedError("no"));
  EXPECT_THAT(second.ReadResponse(), StartsWith("HTTP/1.1 403"));
}

TEST_F(ServerHttpTest, AnAuthorityThatIsTooSlowIs503) {
  Start({.enrolment = milliseconds(50)});
  authority_.Hold();
  RawClient client = Connect();
  client.SendEnrol("AAAA");
  EXPECT_THAT(client.ReadResponse(), AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("Retry-After: ")));
  EXPECT_EQ(server_->counters().enrolling, 1) << "it is still at it";
  authority_.AnswerHeld(1, pki_.root());
  EXPECT_EQ(server_->counters().enrolling, 0);
  EXPECT_THAT(client.Get(kBundle), StartsWith("HTTP/1.1 200")) << "the late answer is nobody's";
}

TEST_F(ServerHttpTest, AnAuthorityThatForgetsIs503) {
  Start({.enrolment = std::chrono::minutes(5)});
  authority_.Hold();
  RawClient client = Connect();
  client.SendEnrol("AAAA");
  EXPECT_EQ(authority_.TakeHeld(1).size(), 1U);
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 503"));
}

TEST_F(ServerHttpTest, AnswersAreCountedOnceAndTimed) {
  Start();
  authority_.Hold();
  RawClient client = Connect();
  client.SendEnrol("AAAA");
  for (const auto& answer : authority_.TakeHeld(1)) {
    answer(absl::PermissionDeniedError("first"));
    answer(absl::PermissionDeniedError("second"));
  }
  EXPECT_THAT(client.ReadResponse(), HasSubstr("first"));
  EXPECT_THAT(client.Get(kBundle), StartsWith("HTTP/1.1 200"));
  std::uint64_t timed = 0;
  for (const ServerCounters::Count& bucket : server_->counters().enrolment_time.buckets)
    timed += bucket;
  EXPECT_EQ(timed, 1U);
  EXPECT_EQ(server_->counters().enrolling, 0);
}

}  // namespace
}  // namespace tombolo::ca::https
