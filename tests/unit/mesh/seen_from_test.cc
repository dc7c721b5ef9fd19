// SPDX-License-Identifier: Apache-2.0
#include "mesh/seen_from.h"

#include <gtest/gtest.h>

#include "unit/mesh/small_mesh.h"

namespace tombolo::mesh {
namespace {

// SmallMesh() with gateways in west, and a second and a third endpoint of west/web.
std::shared_ptr<Snapshot> ThreeBehindGateways() {
  auto snapshot = SmallMesh();
  snapshot->clusters[1].gateways = {{"west-gw", *net::SocketAddress::Parse("192.0.2.1:15443")}};
  auto& endpoints = snapshot->services[0].ports[0].endpoints;
  endpoints.push_back(endpoints[0]);
  endpoints[1].address.port = 8081;
  endpoints[1].weight = 3;
  endpoints.push_back(endpoints[0]);
  endpoints[2].address.port = 8082;
  endpoints[2].ready = false;
  endpoints[2].ready_members = 0;
  return snapshot;
}

TEST(SeenFromTest, OthersSeeOneEndpointForEachIdentity) {
  const auto snapshot = ThreeBehindGateways();
  SeeFrom("east", *snapshot);
  ASSERT_TRUE(snapshot->Index().ok());
  ASSERT_EQ(snapshot->services[0].ports[0].endpoints.size(), 1u);
  const Endpoint& all = snapshot->services[0].ports[0].endpoints[0];
  EXPECT_TRUE(all.behind_gateways());
  EXPECT_EQ(all.cluster, "west");
  EXPECT_EQ(all.identity, snapshot->workloads[1].id);
  EXPECT_TRUE(all.ready);
  EXPECT_EQ(all.weight, 4u);
  EXPECT_EQ(all.members, 3u);
  EXPECT_EQ(all.ready_members, 2u);
  EXPECT_EQ(all.Where(), "cluster west");
}

TEST(SeenFromTest, NoneIsReadyWhenNoMemberIs) {
  const auto snapshot = ThreeBehindGateways();
  for (Endpoint& endpoint : snapshot->services[0].ports[0].endpoints) {
    endpoint.ready = false;
    endpoint.ready_members = 0;
  }
  SeeFrom("east", *snapshot);
  ASSERT_TRUE(snapshot->Index().ok());
  const Endpoint& all = snapshot->services[0].ports[0].endpoints[0];
  EXPECT_FALSE(all.ready);
  EXPECT_EQ(all.ready_members, 0u);
  EXPECT_EQ(all.members, 3u);
}

TEST(SeenFromTest, TheClusterItselfSeesEveryEndpoint) {
  const auto snapshot = ThreeBehindGateways();
  SeeFrom("west", *snapshot);
  ASSERT_TRUE(snapshot->Index().ok());
  EXPECT_EQ(snapshot->services[0].ports[0].endpoints.size(), 3u);
}

TEST(SeenFromTest, WithoutGatewaysNodesAreDialled) {
  const auto snapshot = SmallMesh();
  SeeFrom("east", *snapshot);
  ASSERT_TRUE(snapshot->Index().ok());
  EXPECT_FALSE(snapshot->services[0].ports[0].endpoints[0].behind_gateways());
}

}  // namespace
}  // namespace tombolo::mesh
