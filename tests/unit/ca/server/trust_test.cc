// SPDX-License-Identifier: Apache-2.0
// Requests that are held until there is a newer trust bundle.
#include <gmock/gmock.h>

#include "server_case.h"

namespace tombolo::ca::https {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kTrust[] = "/v1/trust";
constexpr char kHoldAt7[] = "If-None-Match: \"7\"\r\nPrefer: wait=60\r\n";

class TrustTest : public ServerCase {
 protected:
  bool Held(int count) {
    return Eventually([&] { return server_->counters().held == count; });
  }
};

TEST_F(TrustTest, IsForNodesAndGateways) {
  Start();
  EXPECT_THAT(Connect().Get(kTrust), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(ConnectAs(kWorkloadPath).Get(kTrust), StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(ConnectAs(kNodePath).Get(kTrust), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ConnectAs("/cluster/east/gateway/gw-1").Get(kTrust), StartsWith("HTTP/1.1 200"));
}

TEST_F(TrustTest, WhoHoldsNothingOrLessIsAnsweredAtOnce) {
  Start();
  RawClient node = ConnectAs(kNodePath);
  EXPECT_THAT(node.Get(kTrust, "Prefer: wait=60\r\n"),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("ETag: \"7\""), HasSubstr("\r\n\r\n{")));
  EXPECT_THAT(node.Get(kTrust, "If-None-Match: \"6\"\r\nPrefer: wait=60\r\n"),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(node.Get(kTrust, "If-None-Match: \"7\"\r\n"), StartsWith("HTTP/1.1 304"));
}

TEST_F(TrustTest, HoldsUntilThereIsANewerBundle) {
  Start({}, /*threads=*/3);
  std::vector<std::unique_ptr<RawClient>> nodes;
  for (int i = 0; i < 6; ++i) {
    nodes.push_back(std::make_unique<RawClient>(address(), ClientContext(Issue(kNodePath))));
    nodes.back()->SendGet(kTrust, kHoldAt7);
  }
  ASSERT_TRUE(Held(6));
  Publish(8);
  for (const auto& node : nodes) {
    EXPECT_THAT(node->ReadResponse(), AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("ETag: \"8\""),
                                            HasSubstr("{\"spiffe_sequence\":8}")));
  }
  EXPECT_TRUE(Held(0));
}

TEST_F(TrustTest, ABundleThatIsNotNewerWakesNobody) {
  Start();
  RawClient node = ConnectAs(kNodePath);
  node.SendGet(kTrust, "If-None-Match: \"8\"\r\nPrefer: wait=60\r\n");
  ASSERT_TRUE(Held(1));
  Publish(8);  // this replica was behind
  Publish(9);
  EXPECT_THAT(node.ReadResponse(), AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("ETag: \"9\"")));
}

TEST_F(TrustTest, AfterTheWaitNothingHasChanged) {
  Start({.longest_wait = seconds(1), .gone_check = milliseconds(10)});
  RawClient node = ConnectAs(kNodePath);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(node.Get(kTrust, kHoldAt7),
              AllOf(StartsWith("HTTP/1.1 304"), HasSubstr("ETag: \"7\"")));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, seconds(1));
  EXPECT_THAT(node.Get(kTrust), StartsWith("HTTP/1.1 200"));
}

TEST_F(TrustTest, WhatIsHeldIsNotIdle) {
  Start({.idle = milliseconds(50)});
  RawClient node = ConnectAs(kNodePath);
  node.SendGet(kTrust, kHoldAt7);
  ASSERT_TRUE(Held(1));
  // One that is idle ends, although it became so later.
  RawClient idle = Connect();
  EXPECT_THAT(idle.Get("/.well-known/est/cacerts"), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(idle.AtEnd());
  Publish(8);
  EXPECT_THAT(node.ReadResponse(), StartsWith("HTTP/1.1 200"));
}

TEST_F(TrustTest, WhoHasGoneIsNotHeld) {
  Start({.gone_check = milliseconds(10)});
  RawClient node = ConnectAs(kNodePath);
  node.SendGet(kTrust, kHoldAt7);
  ASSERT_TRUE(Held(1));
  node.Close();
  EXPECT_TRUE(Held(0));
  EXPECT_TRUE(Eventually([&] { return server_->counters().connections == 0; }));
}

TEST_F(TrustTest, TellsWhatNodesHold) {
  Start();
  RawClient node = ConnectAs(kNodePath);
  node.Get(kTrust);
  node.Get(kTrust, "If-None-Match: \"7\"\r\n");
  node.Get(kTrust, "If-None-Match: \"6\"\r\n");
  node.Get(kTrust, "If-None-Match: *\r\n");
  // Who is no node has nothing to say about one.
  ConnectAs(kWorkloadPath).Get(kTrust, "If-None-Match: \"5\"\r\n");
  Connect().Get("/.well-known/spiffe/bundle", "If-None-Match: \"5\"\r\n");
  const std::string id = std::string("spiffe://test.example") + kNodePath;
  EXPECT_THAT(authority_.acknowledged(), ElementsAre(Pair(id, 7), Pair(id, 6)));
}

TEST_F(TrustTest, NobodyHoldsWhatIsNotPublished) {
  Start();
  RawClient node = ConnectAs(kNodePath);
  node.Get(kTrust, "If-None-Match: \"8\"\r\n");
  EXPECT_THAT(authority_.acknowledged(), IsEmpty()) << "of a store that was restored, perhaps";
  node.SendGet(kTrust, "If-None-Match: \"8\"\r\nPrefer: wait=60\r\n");
  ASSERT_TRUE(Held(1));
  EXPECT_THAT(authority_.acknowledged(), IsEmpty());
  Publish(8);
  EXPECT_TRUE(Eventually([&] { return authority_.acknowledged().size() == 1; }))
      << "this replica was behind";
  Publish(9);
  EXPECT_THAT(node.ReadResponse(), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(authority_.acknowledged(), SizeIs(1)) << "said once";
}

}  // namespace
}  // namespace tombolo::ca::https
