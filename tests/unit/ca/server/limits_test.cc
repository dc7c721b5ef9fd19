// SPDX-License-Identifier: Apache-2.0
// How many, for how long, and how it ends.
#include <future>

#include <gmock/gmock.h>

#include "server_case.h"

namespace tombolo::ca::https {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kBundle[] = "/.well-known/spiffe/bundle";
constexpr char kHold[] = "If-None-Match: \"7\"\r\nPrefer: wait=60\r\n";

class ServerLimitsTest : public ServerCase {
 protected:
  std::future<void> StopSoon(Duration patience) {
    return std::async(std::launch::async, [this, patience] { server_->Stop(patience); });
  }
};

TEST_F(ServerLimitsTest, ConnectionsBeyondTheLimitAreResetAtOnce) {
  Start({.connections = 2});
  auto first = std::make_unique<RawClient>(address(), ClientContext(std::nullopt));
  RawClient second = Connect();
  EXPECT_THAT(first->Get(kBundle), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(second.Get(kBundle), StartsWith("HTTP/1.1 200"));
  EXPECT_FALSE(Connect().connected());
  EXPECT_EQ(server_->counters().refused_full, 1U);
  first.reset();
  ASSERT_TRUE(Eventually([&] { return server_->counters().connections == 1; }));
  EXPECT_THAT(Connect().Get(kBundle), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerLimitsTest, StrangersOfOneAddressLeaveRoomForIdentities) {
  Start({.per_address = 1});
  RawClient node = ConnectAs(kNodePath);
  EXPECT_THAT(node.Get("/v1/trust"), StartsWith("HTTP/1.1 200"));
  RawClient stranger = Connect();
  EXPECT_THAT(stranger.Get(kBundle), StartsWith("HTTP/1.1 200")) << "the node is no stranger";
  EXPECT_FALSE(Connect().connected());
  EXPECT_EQ(server_->counters().refused_address, 1U);
}

TEST_F(ServerLimitsTest, StrangersOfManyAddressesLeaveRoomForIdentities) {
  Start({.connections = 4, .strangers = 2, .nameless = 1});
  RawClient stranger = Connect();
  EXPECT_THAT(stranger.Get(kBundle), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(Connect().AtEnd()) << "the place that is left is for handshakes";
  ASSERT_TRUE(Eventually([&] { return server_->counters().connections == 1; }));
  RawClient first = ConnectAs(kNodePath);
  EXPECT_THAT(first.Get("/v1/trust"), StartsWith("HTTP/1.1 200"));
  RawClient second = ConnectAs(kNodePath);
  EXPECT_THAT(second.Get("/v1/trust"), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(server_->counters().refused_nameless, 1U);
}

TEST_F(ServerLimitsTest, AnIdentityHasSoManyConnections) {
  Start({.per_identity = 1});
  RawClient first = ConnectAs(kNodePath);
  EXPECT_THAT(first.Get("/v1/trust"), StartsWith("HTTP/1.1 200"));
  RawClient second = ConnectAs(kNodePath);
  EXPECT_TRUE(second.AtEnd());
  EXPECT_THAT(ConnectAs("/cluster/east/node/n2").Get("/v1/trust"), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(server_->counters().refused_identity, 1U);
}

TEST_F(ServerLimitsTest, AnotherContextIsForTheNextHandshakeAndJudgesWhoIsConnected) {
  Start();
  RawClient node = ConnectAs(kNodePath);
  RawClient stranger = Connect();
  EXPECT_THAT(node.Get("/v1/trust"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(stranger.Get(kBundle), StartsWith("HTTP/1.1 200"));
  server_->SetContext(ServerContext(pki_.Bundle()));
  EXPECT_THAT(node.Get("/v1/trust"), StartsWith("HTTP/1.1 200")) << "nothing is new about it";

  tls::TrustBundle newer = pki_.Bundle();
  newer.sequence = 12;
  server_->SetContext(ServerContext(newer));
  authority_.ReplyWith([this](const EnrolRequest&) { return pki_.root(); });
  node.SendEnrol("AAAA", "");
  EXPECT_THAT(node.ReadResponse(), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(authority_.requests().back().caller.judged_by, 12U);

  tls::TrustBundle without_east = pki_.Bundle();
  without_east.bindings->clusters.erase(pki_.issuer("east").public_key().id());
  server_->SetContext(ServerContext(without_east));
  EXPECT_THAT(node.Get("/v1/trust"),
              AllOf(StartsWith("HTTP/1.1 401"), HasSubstr("does not hold any more")));
  EXPECT_TRUE(node.AtOrderlyEnd());
  EXPECT_THAT(stranger.Get(kBundle), StartsWith("HTTP/1.1 200"));
  RawClient again = ConnectAs(kNodePath);
  EXPECT_TRUE(again.AtEnd());
  EXPECT_EQ(tls::ReasonOf(again.error()), tls::HandshakeFailure::kRefusedByPeer);
}

TEST_F(ServerLimitsTest, StopAnswersWhatIsHeldAndEndsWhatIsIdle) {
  Start();
  RawClient held = ConnectAs(kNodePath);
  held.SendGet("/v1/trust", kHold);
  RawClient idle = Connect();
  EXPECT_THAT(idle.Get(kBundle), StartsWith("HTTP/1.1 200"));
  ASSERT_TRUE(Eventually([&] { return server_->counters().held == 1; }));
  const net::SocketAddress old = address();
  std::future<void> stopped = StopSoon(minutes(2));
  EXPECT_THAT(held.ReadResponse(),
              AllOf(StartsWith("HTTP/1.1 304"), HasSubstr("Connection: close")));
  EXPECT_TRUE(held.AtOrderlyEnd());
  EXPECT_TRUE(idle.AtOrderlyEnd());
  EXPECT_EQ(stopped.wait_for(seconds(30)), std::future_status::ready);
  EXPECT_FALSE(RawClient(old, ClientContext(std::nullopt)).connected());
}

TEST_F(ServerLimitsTest, StopLetsAnEnrolmentFinish) {
  Start();
  authority_.Hold();
  RawClient client = Connect();
  client.SendEnrol("AAAA");
  std::vector<Handlers::EnrolAnswer> answers = authority_.TakeHeld(1);
  ASSERT_EQ(answers.size(), 1U);
  std::future<void> stopped = StopSoon(minutes(2));
  const net::SocketAddress old = address();
  // From then on it does not listen any more.
  ASSERT_TRUE(Eventually([&] { return !RawClient(old, ClientContext(std::nullopt)).connected(); }));
  answers.front()(pki_.root());
  EXPECT_THAT(client.ReadResponse(),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Connection: close")));
  EXPECT_TRUE(client.AtOrderlyEnd());
  EXPECT_EQ(stopped.wait_for(seconds(30)), std::future_status::ready);
}

TEST_F(ServerLimitsTest, StopEndsTheRestWhenItsPatienceDoes) {
  Start({.handshake = minutes(5), .header = minutes(5), .enrolment = minutes(5)});
  authority_.Hold();
  RawClient enrolling = Connect();
  enrolling.SendEnrol("AAAA");
  RawClient sending = Connect();
  sending.Send("GET /v1/tr");
  asio::io_context io;
  asio::ip::tcp::socket unshaken(io);
  unshaken.connect({asio::ip::address_v4::loopback(), address().port});
  std::vector<Handlers::EnrolAnswer> answers = authority_.TakeHeld(1);
  ASSERT_EQ(answers.size(), 1U);
  ASSERT_TRUE(Eventually([&] { return server_->counters().connections == 3; }));
  EXPECT_EQ(StopSoon(milliseconds(50)).wait_for(seconds(60)), std::future_status::ready);
  EXPECT_TRUE(enrolling.AtEnd());
  EXPECT_TRUE(sending.AtEnd());
  server_.reset();
  // An answer that comes when the server has gone has nowhere to go.
  answers.front()(pki_.root());
}

TEST_F(ServerLimitsTest, IsDestroyedAtAnyMoment) {
  Start({.handshake = minutes(5)});
  RawClient held = ConnectAs(kNodePath);
  held.SendGet("/v1/trust", kHold);
  ASSERT_TRUE(Eventually([&] { return server_->counters().held == 1; }));
  server_.reset();
  held.ReadResponse();  // it may have had its answer or not
  EXPECT_TRUE(held.AtEnd());
}

TEST_F(ServerLimitsTest, NeedsAnAddressThatIsFree) {
  Start();
  const auto second = HttpsServer::Start({.listen = {address()}}, ServerContext(pki_.Bundle()),
                                         authority_.handlers());
  EXPECT_THAT(second.status().message(), HasSubstr("bind 127.0.0.1:"));
  EXPECT_FALSE(HttpsServer::Start({}, ServerContext(pki_.Bundle()), authority_.handlers()).ok());
}

}  // namespace
}  // namespace tombolo::ca::https
