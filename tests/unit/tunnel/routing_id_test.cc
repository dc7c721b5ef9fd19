// SPDX-License-Identifier: Apache-2.0
#include "tunnel/routing_id.h"

#include <set>

#include <gtest/gtest.h>

namespace tombolo::tunnel {
namespace {

SpiffeId Id(absl::string_view text) { return *SpiffeId::Parse(text); }

// Both ends derive it, of different releases perhaps: the values are the protocol.
// printf 'tombolo/1 routing-id\nshop/web\n80\nspiffe://td/web' | sha256sum
TEST(RoutingIdTest, IsStable) {
  EXPECT_EQ(RoutingId("shop/web", 80, Id("spiffe://td/web")), "292d4a57799b76ecf019f6b27e47bfc6");
  // printf 'tombolo/1 service-port\nshop/web\n80\n' | sha256sum, first 8 bytes as they lie.
  EXPECT_EQ(ServicePortId("shop/web", 80), 0x3e08dab6720275d1u);
}

TEST(RoutingIdTest, DiffersByServicePortAndIdentity) {
  std::set<std::string> ids;
  std::set<std::uint64_t> numbers;
  for (const char* service : {"shop/web", "shop/we", "sho/pweb"}) {
    for (const std::uint16_t port : {80, 8, 443}) {
      for (const char* server : {"spiffe://td/a", "spiffe://td/b"}) {
        EXPECT_TRUE(ids.insert(RoutingId(service, port, Id(server))).second);
      }
      EXPECT_TRUE(numbers.insert(ServicePortId(service, port)).second);
    }
  }
  EXPECT_EQ(ids.size(), 18u);
}

TEST(RoutingIdTest, AServerNameComesBackOnlyForItsCluster) {
  const std::string id = RoutingId("shop/web", 80, Id("spiffe://td/web"));
  const std::string name = ServerName(id, "west");
  EXPECT_EQ(name, id + ".west.tombolo.internal");
  EXPECT_EQ(RoutingIdOf(name, "west"), id);
  EXPECT_EQ(RoutingIdOf(name, "east"), "");
  EXPECT_EQ(RoutingIdOf(name, "est"), "");
  EXPECT_EQ(RoutingIdOf(name, ""), "");
}

TEST(RoutingIdTest, BothPartsOfAName) {
  const std::string id(32, 'a');
  EXPECT_EQ(SplitServerName(id + ".west.tombolo.internal").routing_id, id);
  EXPECT_EQ(SplitServerName(id + ".west.tombolo.internal").cluster, "west");
  for (const std::string& name : {std::string(), id, id + ".tombolo.internal", id + "west.internal",
                                  "a" + id + ".west.tombolo.internal"}) {
    EXPECT_EQ(SplitServerName(name).routing_id, "") << name;
    EXPECT_EQ(SplitServerName(name).cluster, "") << name;
  }
}

TEST(RoutingIdTest, OtherNamesAreNone) {
  const std::string id(32, 'a');
  for (const std::string& name :
       {std::string(), std::string("west.tombolo.internal"), id, id + ".west",
        id + "a.west.tombolo.internal", id.substr(1) + ".west.tombolo.internal",
        "x." + id + ".west.tombolo.internal", id + ".west.tombolo.internal."}) {
    EXPECT_EQ(RoutingIdOf(name, "west"), "") << name;
  }
}

}  // namespace
}  // namespace tombolo::tunnel
