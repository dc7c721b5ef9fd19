// SPDX-License-Identifier: Apache-2.0
#include "agent/world.h"

#include <gtest/gtest.h>

#include "tunnel/routing_id.h"
#include "unit/mesh/small_mesh.h"

namespace tombolo::agent {
namespace {

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

}  // namespace
}  // namespace tombolo::agent
