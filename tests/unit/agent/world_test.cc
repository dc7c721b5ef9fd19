// SPDX-License-Identifier: Apache-2.0
#include "agent/world.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/test_pki.h"
#include "tls/certificate_builder.h"
#include "tunnel/routing_id.h"
#include "unit/mesh/small_mesh.h"
#include "unit/source/temp_dir.h"

namespace tombolo::agent {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(HandshakeLimitsTest, TheGatewaysOfTheOwnClusterHaveAShareOfTheirOwn) {
  const auto snapshot = mesh::SmallMesh();
  const auto address = [](const char* text) { return *net::SocketAddress::Parse(text); };
  snapshot->clusters[1].gateways = {{.name = "gw-1", .address = address("192.0.2.1:15443")},
                                    {.name = "linked", .via = "east"}};
  snapshot->clusters[0].gateways = {{.name = "gw-1", .address = address("192.0.2.2:15443")}};
  ASSERT_TRUE(snapshot->Index().ok());
  World world;
  world.limits.handshakes = 12;
  world.limits.handshakes_per_address = 3;
  world.own_gateways = GatewaysOf(*snapshot, "west");
  EXPECT_EQ(world.own_gateways.size(), 1u);
  EXPECT_EQ(world.HandshakeLimits(address("192.0.2.1:1").ip).per_address, 9u);
  EXPECT_EQ(world.HandshakeLimits(address("192.0.2.2:1").ip).per_address, 3u);
  EXPECT_EQ(world.HandshakeLimits(address("192.0.2.2:1").ip).all, 12u);
  // Its neighbours are not it, and have theirs whatever it holds.
  Quota quota;
  std::vector<AddressShare> held;
  const auto take = [&](const char* peer) {
    const net::IpAddress ip = address(peer).ip;
    auto share = TakeForAddress(quota, ip, world.HandshakeLimits(ip));
    if (share.ok()) held.push_back(*std::move(share));
    return share.ok();
  };
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(take("192.0.2.1:1"));
  EXPECT_FALSE(take("192.0.2.1:1"));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(take("192.0.2.2:1"));
  EXPECT_FALSE(take("192.0.2.3:1"));
  EXPECT_TRUE(GatewaysOf(*snapshot, "north").empty());
}

TEST(ServedByTest, FindsWhatThisNodeServesUnderEachIdentity) {
  const auto snapshot = mesh::SmallMesh();
  mesh::Workload canary = snapshot->workloads[1];
  canary.name = "west/canary";
  canary.service_account = "canary";
  canary.id = *SpiffeId::ForWorkload("td", "west", "shop", "canary");
  snapshot->workloads.push_back(canary);
  auto& endpoints = snapshot->services[0].ports[0].endpoints;
  endpoints.push_back(endpoints[0]);  // a second endpoint of the same identity
  endpoints[1].address.port = 8081;
  endpoints[1].ready = false;
  endpoints.push_back(endpoints[0]);
  endpoints[2].workload = canary.name;
  endpoints[2].identity = canary.id;
  endpoints[2].address.port = 8082;
  ASSERT_TRUE(snapshot->Index().ok());

  const auto served = ServedBy(*snapshot, "west", "west-1");
  ASSERT_EQ(served.size(), 2u);
  for (const SpiffeId& id : {snapshot->workloads[1].id, canary.id}) {
    const auto found = served.find(tunnel::RoutingId("shop/web", 80, id));
    ASSERT_NE(found, served.end());
    EXPECT_EQ(found->second.identity, id);
    EXPECT_EQ(found->second.service->FullName(), "shop/web");
    EXPECT_EQ(found->second.port->port, 80);
  }
}

TEST(ServedByTest, OtherNodesServeNothing) {
  const auto snapshot = mesh::SmallMesh();
  ASSERT_TRUE(snapshot->Index().ok());
  EXPECT_TRUE(ServedBy(*snapshot, "east", "east-1").empty());
  EXPECT_TRUE(ServedBy(*snapshot, "east", "west-1").empty());
  EXPECT_TRUE(ServedBy(*snapshot, "west", "west-2").empty());
  // An endpoint that is not ready is served all the same: the dialer's view may be newer.
  snapshot->services[0].ports[0].endpoints[0].ready = false;
  EXPECT_EQ(ServedBy(*snapshot, "west", "west-1").size(), 1u);
}

class CredentialsOfTest : public ::testing::Test {
 protected:
  CredentialsOfTest() {
    EXPECT_TRUE(snapshot_->Index().ok());
    dir_.Write("bundle.pem", pki_.bundle());
  }
  void Write(const std::string& chain, const std::string& key) {
    dir_.Write("shop/curl/svid.pem", chain);
    dir_.Write("shop/curl/key.pem", key);
  }
  World Load(const World& before = {}) {
    World world;
    world.identities =
        identity::Store::Load({.svids = dir_.Path(""), .bundle = dir_.Path("bundle.pem")},
                              *snapshot_, "east", "east-1", before.identities.get());
    return world;
  }
  static std::string WhyNone(const World& world, const SpiffeId& id) {
    const auto found = world.CredentialsOf(id);
    EXPECT_TRUE(absl::IsFailedPrecondition(found.status())) << found.status();
    return std::string(found.status().message());
  }

  source::TempDir dir_;
  testing::TestPki pki_{"td"};
  std::shared_ptr<mesh::Snapshot> snapshot_ = mesh::SmallMesh();
  const SpiffeId curl_ = snapshot_->workloads[0].id;
};

TEST_F(CredentialsOfTest, SaysWhichWorkloadHasNone) {
  const tls::Credentials::Pem good = pki_.Issue("/cluster/east/ns/shop/sa/curl");
  Write(good.chain, good.key);
  const World world = Load();
  ASSERT_TRUE(world.CredentialsOf(curl_).ok());
  EXPECT_EQ((*world.CredentialsOf(curl_))->id(), curl_);
  const SpiffeId west = snapshot_->workloads[1].id;
  EXPECT_EQ(WhyNone(world, west), "no workload of this node is '" + west.text() + "'");
}

TEST_F(CredentialsOfTest, SaysWhyAnSvidWasNeverLoaded) {
  EXPECT_THAT(WhyNone(Load(), curl_), AllOf(HasSubstr("'" + curl_.text() + "' was never loaded"),
                                            HasSubstr("svid.pem': No such file")));
}

TEST_F(CredentialsOfTest, SaysWhenAnSvidExpired) {
  const std::string key = *tls::GenerateKey();
  const auto chain =
      pki_.issuer().IssueSvid(curl_, key, tls::Validity::FromNow(std::chrono::seconds(2)));
  ASSERT_TRUE(chain.ok()) << chain.status();
  Write(*chain, key);
  const World loaded = Load();
  ASSERT_TRUE(loaded.CredentialsOf(curl_).ok());
  std::this_thread::sleep_until((*loaded.CredentialsOf(curl_))->not_after() +
                                std::chrono::milliseconds(1));
  const std::string expired = WhyNone(loaded, curl_);
  EXPECT_THAT(expired, ::testing::ContainsRegex("expired at 20[0-9-]*T[0-9:]*Z$"));
  dir_.Write("shop/curl/svid.pem", "broken");
  EXPECT_THAT(WhyNone(Load(loaded), curl_),
              AllOf(HasSubstr(expired), HasSubstr("the last attempt to replace it: "),
                    HasSubstr("svid.pem")));
}

}  // namespace
}  // namespace tombolo::agent
