// SPDX-License-Identifier: Apache-2.0
#include "agent/route.h"

#include <utility>

#include <gtest/gtest.h>

#include "tunnel/routing_id.h"
#include "unit/mesh/small_mesh.h"

namespace tombolo::agent {
namespace {

// East as it sees west: shop/web on a node, or behind two gateways.
class RouteTest : public ::testing::Test {
 protected:
  void PutBehindGateways() {
    snapshot_->clusters[1].gateways = {
        {.name = "a", .address = *net::SocketAddress::Parse("203.0.113.10:15443")},
        {.name = "b", .address = *net::SocketAddress::Parse("203.0.113.11:15443")}};
    mesh::Endpoint& endpoint = snapshot_->services[0].ports[0].endpoints[0];
    endpoint.workload.clear();
    endpoint.node.clear();
    endpoint.address = {};
  }
  const mesh::Cluster& west() const { return snapshot_->clusters[1]; }
  const mesh::Endpoint& endpoint() const { return snapshot_->services[0].ports[0].endpoints[0]; }
  absl::StatusOr<Route> To(const mesh::Gateway* gateway, std::size_t source = 0) {
    if (!std::exchange(indexed_, true)) {
      EXPECT_TRUE(snapshot_->Index().ok());
    }
    return RouteTo(*snapshot_, {snapshot_->workloads[source].id, snapshot_->services[0], 80},
                   endpoint(), gateway);
  }

  std::shared_ptr<mesh::Snapshot> snapshot_ = mesh::SmallMesh();
  bool indexed_ = false;
};

TEST_F(RouteTest, ToAnEndpointOnANodeIsThatNode) {
  const auto route = To(nullptr);
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->endpoint, &endpoint());
  EXPECT_EQ(route->address.ToString(), "172.31.0.2:15008");
  EXPECT_EQ(route->server_name,
            tunnel::ServerName(tunnel::RoutingId("shop/web", 80, endpoint().identity), "west"));
}

// OPEN names an endpoint, which only its own node has.
TEST_F(RouteTest, TunnelsToNodesAreForThatNodeAndSourceOnly) {
  const auto route = To(nullptr);
  ASSERT_TRUE(route.ok()) << route.status();
  const auto other_source = To(nullptr, 1);
  ASSERT_TRUE(other_source.ok());
  EXPECT_NE(other_source->pool_key, route->pool_key);
  snapshot_->clusters[1].nodes[0].tunnel_address.port++;
  const auto other_node = To(nullptr);
  ASSERT_TRUE(other_node.ok());
  EXPECT_NE(other_node->pool_key, route->pool_key);
}

TEST_F(RouteTest, ToAnEndpointBehindGatewaysIsTheGateway) {
  PutBehindGateways();
  const auto route = To(&west().gateways[1]);
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->address.ToString(), "203.0.113.11:15443");
  EXPECT_EQ(route->server_name,
            tunnel::ServerName(tunnel::RoutingId("shop/web", 80, endpoint().identity), "west"));
}

TEST_F(RouteTest, AWayOverALinkSaysWhoHasTheLink) {
  EXPECT_EQ(To(nullptr)->dialed_cluster, "west");
  PutBehindGateways();
  mesh::Gateway way = west().gateways[0];
  EXPECT_EQ(To(&way)->dialed_cluster, "west");
  way.via = "east";
  EXPECT_EQ(To(&way)->dialed_cluster, "east");
  EXPECT_EQ(To(&way)->address, way.address);
}

TEST_F(RouteTest, ATunnelThroughAnyGatewayWillDo) {
  PutBehindGateways();
  const auto through_a = To(&west().gateways[0]);
  const auto through_b = To(&west().gateways[1]);
  ASSERT_TRUE(through_a.ok() && through_b.ok());
  EXPECT_EQ(through_a->pool_key, through_b->pool_key);
  EXPECT_NE(To(&west().gateways[0], 1)->pool_key, through_a->pool_key);  // but not anybody's
}

TEST_F(RouteTest, AGatewayThatTheDirectoryNoLongerHasIsGone) {
  EXPECT_FALSE(LeadsThroughGoneGateway(*snapshot_, "west", "172.31.0.2:15008")) << "a node";
  PutBehindGateways();
  ASSERT_TRUE(snapshot_->Index().ok());
  EXPECT_FALSE(LeadsThroughGoneGateway(*snapshot_, "west", "203.0.113.11:15443"));
  EXPECT_TRUE(LeadsThroughGoneGateway(*snapshot_, "west", "203.0.113.12:15443"));
  EXPECT_TRUE(LeadsThroughGoneGateway(*snapshot_, "west", "203.0.113.11:15444"));
  EXPECT_FALSE(LeadsThroughGoneGateway(*snapshot_, "nowhere", "203.0.113.12:15443"));
}

TEST_F(RouteTest, WithoutAGatewayThereIsNone) {
  PutBehindGateways();
  const auto route = To(nullptr);
  EXPECT_TRUE(absl::IsNotFound(route.status())) << route.status();
  EXPECT_NE(route.status().message().find("'west'"), absl::string_view::npos) << route.status();
}

TEST_F(RouteTest, WithoutItsNodeThereIsNone) {
  EXPECT_TRUE(To(nullptr).ok());
  mesh::Endpoint astray = endpoint();
  astray.node = "west-9";
  const auto route = RouteTo(*snapshot_, {snapshot_->workloads[0].id, snapshot_->services[0], 80},
                             astray, nullptr);
  EXPECT_TRUE(absl::IsNotFound(route.status())) << route.status();
}

TEST_F(RouteTest, OpenNamesAnEndpointOnlyWhereTheDialerChoseIt) {
  tunnel::proto::Open direct;
  NameEndpoint(endpoint(), direct);
  EXPECT_EQ(direct.endpoint_workload(), "west/web");
  EXPECT_EQ(direct.endpoint().port(), 8080u);
  EXPECT_EQ(direct.endpoint().ip().size(), 16u);
  PutBehindGateways();
  tunnel::proto::Open across;
  NameEndpoint(endpoint(), across);
  EXPECT_FALSE(across.has_endpoint());
  EXPECT_TRUE(across.endpoint_workload().empty());
}

}  // namespace
}  // namespace tombolo::agent
