// SPDX-License-Identifier: Apache-2.0
#include "agent/topology.h"

#include <string>

#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/mesh/small_mesh.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class TopologyTest : public ::testing::Test {
 protected:
  json::object Make(const Traffic& traffic = {}, std::set<std::string> away = {}) {
    return TopologyJson({*snapshot_, "east", views_, traffic, std::move(away)});
  }
  std::string Drain(const ClusterTraffic& traffic = {}) {
    return DrainInWords(*snapshot_, snapshot_->clusters[1], traffic);
  }
  mesh::Cluster& west() { return snapshot_->clusters[1]; }
  mesh::ServicePort& web() { return snapshot_->services[0].ports[0]; }

  std::shared_ptr<mesh::Snapshot> snapshot_ = mesh::SmallMesh();
  BalanceViews views_;
};

TEST_F(TopologyTest, ClustersAndWhatThisAgentHasThere) {
  ASSERT_TRUE(snapshot_->Index().ok());
  const json::object made = Make({{"west", {.connections = 3, .idle_tunnels = 2}}}, {"south"});
  const json::array& clusters = made.at("clusters").as_array();
  ASSERT_EQ(clusters.size(), 3);
  EXPECT_EQ(clusters[0].at("connections").to_number<int>(), 0);
  EXPECT_EQ(clusters[1].at("name").as_string(), "west");
  EXPECT_TRUE(clusters[1].at("alive").as_bool());
  EXPECT_EQ(clusters[1].at("connections").to_number<int>(), 3);
  EXPECT_EQ(clusters[1].at("idle_tunnels").to_number<int>(), 2);
  EXPECT_EQ(clusters[1].at("drain").as_string(), "");
  EXPECT_EQ(json::serialize(clusters[2]), R"({"name":"south","alive":false})");
  EXPECT_FALSE(Make({}, {"west"}).at("clusters").at(1).at("alive").as_bool());
}

TEST_F(TopologyTest, ServicesByCluster) {
  mesh::Endpoint local = web().endpoints[0];
  local.cluster = "east";
  mesh::Endpoint unready = web().endpoints[0];
  unready.ready = false;
  web().endpoints.push_back(local);
  web().endpoints.push_back(unready);
  views_.endpoints.resize(3);
  views_.endpoints[0].in_flight = 2;
  views_.endpoints[0].ejected = true;
  views_.endpoints[1].in_flight = 1;
  const json::object made = Make();
  const json::value& service = made.at("services").at(0);
  EXPECT_EQ(service.at("name").as_string(), "shop/web");
  EXPECT_EQ(
      json::serialize(service.at("ports").at(0)),
      R"({"port":80,"clusters":[{"name":"east","endpoints":1,"ready":1,"ejected":0,)"
      R"("in_flight":1},{"name":"west","endpoints":2,"ready":1,"ejected":1,"in_flight":2}]})");
  EXPECT_EQ(json::serialize(service.at("ports").at(1)), R"({"port":443,"clusters":[]})");
}

TEST_F(TopologyTest, ADrainSaysWhatItDoesAndWhatItCannot) {
  ASSERT_TRUE(snapshot_->Index().ok());
  EXPECT_EQ(Drain(), "") << "it does not drain";
  west().draining = true;
  EXPECT_EQ(Drain({.connections = 2, .idle_tunnels = 0}),
            "draining: new connections go elsewhere; of this agent's, 2 still run there, and 0 "
            "tunnels idle; nobody else has shop/web, which it goes on to serve");
  mesh::Endpoint local = web().endpoints[0];
  local.cluster = "east";
  web().endpoints.push_back(local);
  EXPECT_THAT(Drain(), Not(HasSubstr("nobody else")));
  snapshot_->clusters[0].draining = true;
  EXPECT_THAT(Drain(), HasSubstr("nobody else has shop/web")) << "the other one drains as well";
}

TEST_F(TopologyTest, ASentenceNamesSomeOfManyServices) {
  for (int i = 0; i < 9; ++i) {
    mesh::Service more = snapshot_->services[0];
    more.name = absl::StrCat("web-", i);
    more.vips = {};
    snapshot_->services.push_back(more);
  }
  ASSERT_TRUE(snapshot_->Index().ok());
  west().draining = true;
  EXPECT_THAT(Drain(), AllOf(HasSubstr("shop/web-3 and 5 more services"), Not(HasSubstr("web-4"))));
}

}  // namespace
}  // namespace tombolo::agent
