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

TEST_F(TopologyTest, TheOwnGatewaysAreThereThoughNobodyDialsThem) {
  snapshot_->clusters[0].gateways = {
      {.name = "gw-1", .address = *net::SocketAddress::Parse("203.0.113.1:15443")}};
  ASSERT_TRUE(snapshot_->Index().ok());
  const json::object made = Make();
  const json::array& ways = made.at("clusters").at(0).at("ways").as_array();
  ASSERT_EQ(ways.size(), 2u);
  EXPECT_EQ(ways[0].at("kind").as_string(), "node");
  EXPECT_EQ(json::serialize(ways[1]),
            R"({"kind":"gateway","name":"gw-1","zone":"","address":"203.0.113.1:15443"})");
}

// South is reached via west, whose two gateways are the ways.
TEST_F(TopologyTest, LinksAreAsGoodAsTheWaysThatNeedThem) {
  west().gateways = {{.name = "gw-1", .address = *net::SocketAddress::Parse("203.0.113.1:15443")},
                     {.name = "gw-2", .address = *net::SocketAddress::Parse("203.0.113.2:15443")}};
  snapshot_->clusters.push_back({.name = "south",
                                 .gateways = {{.name = "gw-1", .via = "west"},
                                              {.name = "gw-2", .via = "west"},
                                              {.name = "gw-3", .via = "north"}}});
  snapshot_->clusters.push_back({.name = "north"});
  ASSERT_TRUE(snapshot_->Index().ok());
  views_.ways.resize(5);  // east's node, west's gateways, and the same for south
  const auto links = [&] { return json::serialize(Make().at("links")); };
  const std::string north = R"({"role":"user","cluster":"south","via":"north","gateways":["gw-3"],)"
                            R"("ways":0,"ways_ejected":0,"state":"down"})";
  const auto west = [](int ejected, const char* state) {
    return absl::StrCat(
        R"({"role":"user","cluster":"south","via":"west","gateways":["gw-1","gw-2"],)",
        R"("ways":2,"ways_ejected":)", ejected, R"(,"state":")", state, R"("})");
  };
  EXPECT_EQ(links(), absl::StrCat("[", north, ",", west(0, "up"), "]"));
  views_.ways[1].ejected = true;
  EXPECT_EQ(links(), absl::StrCat("[", north, ",", west(0, "up"), "]")) << "that way is west's own";
  views_.ways[3].ejected = true;
  EXPECT_EQ(links(), absl::StrCat("[", north, ",", west(1, "up"), "]"));
  views_.ways[4].ejected = true;
  EXPECT_EQ(links(), absl::StrCat("[", north, ",", west(2, "down"), "]"));
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
