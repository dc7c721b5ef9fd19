// SPDX-License-Identifier: Apache-2.0
#include "admin/server.h"

#include <chrono>
#include <future>
#include <string>

#include <boost/asio/steady_timer.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "admin_fixture.h"

namespace tombolo::admin {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class ServerTest : public testing::Test {
 protected:
  void Start(Providers providers) {
    Server::Options options{.socket_path = path_,
                            .listen = *net::SocketAddress::Parse("127.0.0.1:0"),
                            .limits = {},
                            .provider_deadline = milliseconds(500)};
    const absl::Status started = server_.Start(options, std::move(providers));
    ASSERT_TRUE(started.ok()) << started;
  }
  std::string Noun(const std::string& path) { return RawClient::Unix(path_).Get(path); }
  std::string Probe(const std::string& path) { return RawClient::Tcp(server_.tcp()).Get(path); }

  TempDir dir_;
  std::string path_ = dir_.File("a.sock");
  ServerThread server_;
};

// A provider that answers when the test says so.
struct Gate {
  explicit Gate(asio::io_context& io_in) : io(io_in), open(io_in, MonotonicTime::max()) {}
  Awaitable<boost::json::value> Wait() {
    co_await open.async_wait(kUseTuple);
    co_return boost::json::object();
  }
  void Open() {
    std::promise<void> done;
    asio::post(io, [&] {
      open.expires_at(MonotonicTime::min());
      done.set_value();
    });
    done.get_future().get();
  }
  asio::io_context& io;
  asio::steady_timer open;
};

TEST_F(ServerTest, NounIsOneJsonObject) {
  Start(TestProviders());
  const std::string response = Noun("/v1/status");
  EXPECT_THAT(response, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(response, EndsWith("\r\n\r\n{\"node\":\"n1\"}\n"));
}

TEST_F(ServerTest, UnknownNounNamesTheKnownOnes) {
  Start(TestProviders());
  for (const char* path : {"/v1/servces", "/v1/", "/", "/metrics"}) {
    const std::string response = Noun(path);
    EXPECT_THAT(response, StartsWith("HTTP/1.1 404")) << path;
    EXPECT_THAT(response, HasSubstr("there are: /v1/services /v1/status")) << path;
  }
}

Awaitable<absl::StatusOr<boost::json::value>> Echo(Query query) {
  if (query.contains("lost")) co_return absl::NotFoundError("it is lost");
  if (query.contains("wrong")) co_return absl::InvalidArgumentError("it is wrong");
  if (query.contains("broken")) co_return absl::InternalError("it is broken");
  boost::json::object out;
  for (const auto& [key, value] : query) out[key] = value;
  co_return boost::json::value(out);
}

TEST_F(ServerTest, AQuestionGetsItsQuery) {
  Providers providers = TestProviders();
  providers.questions["explain"] = Echo;
  Start(std::move(providers));
  EXPECT_THAT(Noun("/v1/explain?a=east/curl&b=[fd00::1]:80=x"),
              EndsWith("\r\n\r\n{\"a\":\"east/curl\",\"b\":\"[fd00::1]:80=x\"}\n"));
  EXPECT_THAT(Noun("/v1/explain"), EndsWith("\r\n\r\n{}\n"));
  EXPECT_THAT(Noun("/v1/nothing"), HasSubstr("/v1/explain /v1/services /v1/status"));
}

TEST_F(ServerTest, AnswersOfQuestionsThatAreErrors) {
  Providers providers = TestProviders();
  providers.questions["explain"] = Echo;
  Start(std::move(providers));
  for (const char* query : {"a", "a=", "=b", "a=b&", "a=b&a=c", "a=%41"}) {
    EXPECT_THAT(Noun(absl::StrCat("/v1/explain?", query)), StartsWith("HTTP/1.1 400")) << query;
  }
  EXPECT_THAT(Noun("/v1/explain?wrong=1"),
              AllOf(StartsWith("HTTP/1.1 400"), HasSubstr("it is wrong")));
  EXPECT_THAT(Noun("/v1/explain?lost=1"),
              AllOf(StartsWith("HTTP/1.1 404"), HasSubstr("it is lost")));
  EXPECT_THAT(Noun("/v1/explain?broken=1"), StartsWith("HTTP/1.1 500"));
}

TEST_F(ServerTest, ProviderThatDoesNotAnswerIs504ThenA503UntilItIsBack) {
  Gate gate(server_.io());
  Providers providers = TestProviders();
  providers.nouns["tunnels"] = [&] { return gate.Wait(); };
  Start(std::move(providers));
  EXPECT_THAT(Noun("/v1/tunnels"), StartsWith("HTTP/1.1 504"));
  EXPECT_THAT(Noun("/v1/tunnels"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Noun("/v1/status"), StartsWith("HTTP/1.1 200"));
  gate.Open();
  EXPECT_THAT(Noun("/v1/tunnels"), StartsWith("HTTP/1.1 200"));
  server_.Stop();
}

TEST_F(ServerTest, StopDoesNotWaitForAProvider) {
  Gate gate(server_.io());
  Providers providers = TestProviders();
  providers.nouns["tunnels"] = [&] { return gate.Wait(); };
  Start(std::move(providers));
  EXPECT_THAT(Noun("/v1/tunnels"), StartsWith("HTTP/1.1 504"));
  RawClient waiting = RawClient::Unix(path_);
  waiting.Send("GET /v1/tunnels HTTP/1.1\r\n\r\n");
  const auto begin = std::chrono::steady_clock::now();
  server_.Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
}

TEST_F(ServerTest, MetricsHealthAndReadinessAreOnTcpOnly) {
  Start(TestProviders());
  const std::string metrics = Probe("/metrics");
  EXPECT_THAT(metrics, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  EXPECT_THAT(metrics, EndsWith("\r\n\r\nx 1\n"));
  EXPECT_THAT(Probe("/healthz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Probe("/readyz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Probe("/v1/status"), StartsWith("HTTP/1.1 404"));
}

TEST_F(ServerTest, NotReadyIs503WithOneReasonALine) {
  Providers providers = TestProviders();
  providers.not_ready = [] { return std::vector<std::string>{"no snapshot", "not attached"}; };
  Start(std::move(providers));
  const std::string response = Probe("/readyz");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(response, EndsWith("\r\n\r\nno snapshot\nnot attached\n"));
  EXPECT_THAT(Probe("/healthz"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, TcpPortInUseIsAnErrorThatNamesItAndLeavesNoSocketFile) {
  Start(TestProviders());
  ServerThread other;
  const std::string other_path = dir_.File("b.sock");
  const absl::Status status = other.Start(
      {.socket_path = other_path, .listen = server_.tcp(), .limits = {}}, TestProviders());
  EXPECT_THAT(std::string(status.message()), HasSubstr("admin.listen"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(server_.tcp().ToString()));
  EXPECT_FALSE(std::filesystem::exists(other_path));
}

}  // namespace
}  // namespace tombolo::admin
