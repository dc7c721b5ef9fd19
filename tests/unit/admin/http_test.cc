// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "admin_fixture.h"

namespace tombolo::admin {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;

class HttpTest : public testing::Test {
 protected:
  void Start(HttpLimits limits) {
    ASSERT_TRUE(server_
                    .Start({.socket_path = path_, .listen = std::nullopt, .limits = limits},
                           TestProviders())
                    .ok());
  }
  RawClient Connect() { return RawClient::Unix(path_); }

  TempDir dir_;
  std::string path_ = dir_.File("a.sock");
  ServerThread server_;
};

TEST_F(HttpTest, KeepsTheConnectionForTheNextRequest) {
  Start({});
  RawClient client = Connect();
  for (int i = 0; i < 3; ++i) EXPECT_THAT(client.Get("/v1/status"), HasSubstr("\"n1\""));
}

TEST_F(HttpTest, AnswersPipelinedRequestsInOrder) {
  Start({});
  RawClient client = Connect();
  client.Send("GET /v1/status HTTP/1.1\r\n\r\nGET /v1/nothing HTTP/1.1\r\n\r\n");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 404"));
}

TEST_F(HttpTest, ClosesWhenTheClientAsksForIt) {
  Start({});
  RawClient client = Connect();
  client.Send("GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpTest, IgnoresTheQuery) {
  Start({});
  EXPECT_THAT(Connect().Get("/v1/status?pretty"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpTest, OtherMethodsAre405WithAllow) {
  Start({});
  RawClient client = Connect();
  client.Send("DELETE /v1/status HTTP/1.1\r\n\r\n");
  const std::string response = client.ReadResponse();
  EXPECT_THAT(response, StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(response, HasSubstr("Allow: GET\r\n"));
  EXPECT_THAT(client.Get("/v1/status"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpTest, HeadIs405WithoutBody) {
  Start({});
  RawClient client = Connect();
  client.Send("HEAD /v1/status HTTP/1.1\r\n\r\n");
  const std::string response = client.ReadResponse();
  EXPECT_THAT(response, StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(response, testing::EndsWith("\r\n\r\n"));
}

TEST_F(HttpTest, RefusesBodies) {
  Start({});
  for (const char* request : {"GET /v1/status HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
                              "GET /v1/status HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    RawClient client = Connect();
    client.Send(request);
    EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 413")) << request;
    EXPECT_TRUE(client.AtEnd());
  }
  RawClient client = Connect();
  client.Send("POST /v1/status HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 405"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpTest, MalformedRequestIs400AndTheEnd) {
  Start({});
  RawClient client = Connect();
  client.Send("this is not HTTP\r\n\r\n");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 400"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpTest, HeaderUpToTheLimitIsServedAndBeyondIs431) {
  Start({});
  const auto request = [](std::size_t filler) {
    return absl::StrCat("GET /v1/status HTTP/1.1\r\nX: ", std::string(filler, 'a'), "\r\n\r\n");
  };
  RawClient fits = Connect();
  fits.Send(request(8 * 1024 - 100));
  EXPECT_THAT(fits.ReadResponse(), StartsWith("HTTP/1.1 200"));
  for (const std::size_t filler : {std::size_t{8192}, std::size_t{61440}}) {
    RawClient client = Connect();
    client.Send(request(filler));
    EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 431")) << filler;
    EXPECT_TRUE(client.AtEnd());
  }
}

TEST_F(HttpTest, SilentClientIsClosed) {
  Start({.idle = milliseconds(100)});
  RawClient client = Connect();
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpTest, DrippingClientGainsNothingByEachByte) {
  Start({.idle = milliseconds(300)});
  RawClient client = Connect();
  client.Send("GET /v1/status HTTP/1.1\r\nX: ");
  const auto begin = std::chrono::steady_clock::now();
  bool open = true;
  for (int i = 0; i < 400 && open; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    open = client.Send("a");
  }
  EXPECT_FALSE(open);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(HttpTest, ConnectionsBeyondTheLimitWaitForAFreeOne) {
  Start({.connections = 2, .idle = std::chrono::seconds(30)});
  auto first = std::make_unique<RawClient>(Connect());
  RawClient second = Connect();
  EXPECT_THAT(first->Get("/v1/status"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(second.Get("/v1/status"), StartsWith("HTTP/1.1 200"));
  RawClient third = Connect();
  ASSERT_TRUE(third.Send("GET /v1/status HTTP/1.1\r\n\r\n"));
  first.reset();
  EXPECT_THAT(third.ReadResponse(), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpTest, StopEndsConnectionsAtOnce) {
  Start({.idle = std::chrono::minutes(1)});
  RawClient idle = Connect();
  EXPECT_THAT(idle.Get("/v1/status"), StartsWith("HTTP/1.1 200"));
  RawClient sending = Connect();
  sending.Send("GET /v1/sta");
  const auto begin = std::chrono::steady_clock::now();
  server_.Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
  EXPECT_TRUE(idle.AtEnd());
  EXPECT_FALSE(Connect().connected());
}

}  // namespace
}  // namespace tombolo::admin
