// SPDX-License-Identifier: Apache-2.0
#include "agent/gateway_topology.h"

#include <memory>
#include <string>

#include <boost/json/serialize.hpp>
#include <gtest/gtest.h>

#include "unit/mesh/small_mesh.h"

namespace tombolo::agent {
namespace {

namespace json = boost::json;
using std::chrono::seconds;

class GatewayTopologyTest : public ::testing::Test {
 protected:
  GatewayTopologyTest() {
    snapshot_->clusters.push_back({.name = "south", .gateways = {{.name = "gw-1", .via = "west"}}});
    snapshot_->clusters[1].gateways = {
        {.name = "gw-1", .address = *net::SocketAddress::Parse("203.0.113.1:15443"), .zone = "a"}};
    EXPECT_TRUE(snapshot_->Index().ok());
  }
  json::object Make(std::set<std::string> away = {}) {
    return TopologyJson({*snapshot_, "west", nodes_, links_, std::move(away)}, now_);
  }
  // As west's gateway sees them.
  std::string Links() { return json::serialize(Make().at("links")); }
  link::HeardAt Ago(Duration age) const {
    return std::make_shared<std::atomic<MonotonicTime>>(now_ - age);
  }

  const MonotonicTime now_ = std::chrono::steady_clock::now();
  std::shared_ptr<mesh::Snapshot> snapshot_ = mesh::SmallMesh();
  gateway::Nodes nodes_;
  LinkViews links_;
};

TEST_F(GatewayTopologyTest, ClustersWithTheirGatewaysAndTheOwnNodes) {
  const auto node = nodes_.Get(snapshot_->clusters[1].nodes[0]);
  const gateway::Node::Use use(node);
  snapshot_->clusters[1].nodes.push_back(
      {"west-2", *net::SocketAddress::Parse("172.31.0.3:15008")});
  const json::object made = Make({"north", "south"});
  EXPECT_EQ(made.at("role").as_string(), "gateway");
  const json::array& clusters = made.at("clusters").as_array();
  ASSERT_EQ(clusters.size(), 4u);
  EXPECT_FALSE(clusters[0].at("own").as_bool());
  EXPECT_EQ(json::serialize(clusters[0].at("ways")), "[]") << "others' nodes are theirs";
  EXPECT_TRUE(clusters[1].at("own").as_bool());
  EXPECT_TRUE(clusters[1].at("alive").as_bool());
  EXPECT_EQ(json::serialize(clusters[1].at("ways")),
            R"([{"kind":"gateway","name":"gw-1","zone":"a","address":"203.0.113.1:15443"},)"
            R"({"kind":"node","name":"west-1","address":"172.31.0.2:15008","zone":"",)"
            R"("in_flight":1,"ejected":false,"ejected_for_ms":0},)"
            R"({"kind":"node","name":"west-2","address":"172.31.0.3:15008","zone":""}])");
  EXPECT_FALSE(clusters[2].at("alive").as_bool());
  EXPECT_EQ(json::serialize(clusters[2].at("ways")),
            R"([{"kind":"gateway","name":"gw-1","zone":"","via":"west"}])");
  EXPECT_EQ(json::serialize(clusters[3]), R"({"name":"north","alive":false})");
}

TEST_F(GatewayTopologyTest, ANodeThatIsAvoided) {
  nodes_.Get(snapshot_->clusters[1].nodes[0])->Failed(now_);
  const json::object made = Make();
  const json::value& way = made.at("clusters").at(1).at("ways").at(1);
  EXPECT_TRUE(way.at("ejected").as_bool());
  EXPECT_EQ(way.at("ejected_for_ms").to_number<int>(), 1000);
}

TEST_F(GatewayTopologyTest, WhatItDoesNotKnowOfServicesIsLeftOut) {
  EXPECT_EQ(json::serialize(Make().at("services").at(0).at("ports").at(0)),
            R"({"port":80,"clusters":[{"name":"west","endpoints":1,"ready":1}]})");
}

TEST_F(GatewayTopologyTest, ALinkThatIsUp) {
  links_.expected = {{"south", "gw-1"}};
  links_.accepted = {{.cluster = "south",
                      .gateway = "gw-1",
                      .since = now_ - seconds(60),
                      .heard_at = Ago(seconds(2)),
                      .spares = 3,
                      .tokens = 1,
                      .wanted = 4,
                      .taken = 7}};
  EXPECT_EQ(Links(), R"([{"role":"acceptor","cluster":"south","gateway":"gw-1","state":"up",)"
                     R"("since_ms":60000,"spares":3,"spares_wanted":4,"tokens":1,"tunnels":7,)"
                     R"("heard_ms":2000}])");
}

TEST_F(GatewayTopologyTest, ALinkThatTheDirectoryHasAndNobodyHasDialled) {
  links_.expected = {{"south", "gw-1"}};
  EXPECT_EQ(Links(), R"([{"role":"acceptor","cluster":"south","gateway":"gw-1","state":"down"}])");
  for (const admin::Sample& sample : LinkSamples(links_)) {
    if (sample.name != "tombolo_gateway_links") continue;
    EXPECT_EQ(sample.labels[1].second, "south");
    EXPECT_EQ(sample.value, 0);
    return;
  }
  FAIL() << "an alert needs a 0";
}

TEST_F(GatewayTopologyTest, ALinkThatIsDialledAgain) {
  links_.dialed = {{.target = {.cluster = "east",
                               .gateway = "gw-1",
                               .address = *net::SocketAddress::Parse("203.0.113.2:15443")},
                    .up = false,
                    .since = now_ - seconds(5),
                    .heard_at = Ago(seconds(8)),
                    .error = "no answer to PING",
                    .next_dial = now_ + seconds(3),
                    .attempts = 2,
                    .lost = 1}};
  const json::object waits = Make();
  const json::value& link = waits.at("links").at(0);
  EXPECT_EQ(link.at("role").as_string(), "dialer");
  EXPECT_EQ(link.at("state").as_string(), "down");
  EXPECT_EQ(link.at("address").as_string(), "203.0.113.2:15443");
  EXPECT_EQ(link.at("heard_ms").to_number<int>(), 8000);
  EXPECT_EQ(link.at("next_dial_ms").to_number<int>(), 3000);
  EXPECT_EQ(link.at("error").as_string(), "no answer to PING");
  links_.dialed[0].next_dial.reset();
  links_.dialed[0].heard_at = nullptr;
  const json::object dials = Make();
  EXPECT_FALSE(dials.at("links").at(0).as_object().contains("next_dial_ms"));
  EXPECT_FALSE(dials.at("links").at(0).as_object().contains("heard_ms"));
}

}  // namespace
}  // namespace tombolo::agent
