// SPDX-License-Identifier: Apache-2.0
#include "gateway/routes.h"

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "mesh/seen_from.h"
#include "tunnel/routing_id.h"

namespace tombolo::gateway {
namespace {

using testing::UnorderedElementsAre;

constexpr char kTrustDomain[] = "td";

SpiffeId IdOf(const std::string& cluster, const std::string& account) {
  return *SpiffeId::ForWorkload(kTrustDomain, cluster, "shop", account);
}

std::string NameOf(const std::string& cluster, const std::string& account,
                   const std::string& service = "shop/web", std::uint16_t port = 80) {
  return tunnel::ServerName(tunnel::RoutingId(service, port, IdOf(cluster, account)), cluster);
}

// west has the nodes n1 (zone a), n2 and n3 (zone b); east is another cluster.
class RoutesTest : public testing::Test {
 protected:
  RoutesTest() {
    snapshot_.trust_domain = kTrustDomain;
    for (const char* cluster : {"west", "east"}) {
      mesh::Cluster made{.name = cluster};
      for (const auto& [node, zone] : {std::pair("n1", "a"), {"n2", "b"}, {"n3", "b"}}) {
        const auto port = static_cast<std::uint16_t>(15000 + node[1]);
        made.nodes.push_back({node, {net::IpAddress::Loopback(false), port}, zone});
      }
      snapshot_.clusters.push_back(made);
    }
    mesh::Service service;
    service.ns = "shop";
    service.name = "web";
    service.ports.resize(1);
    service.ports[0].port = 80;
    snapshot_.services.push_back(service);
  }
  void AddEndpoint(const std::string& cluster, const std::string& node, const std::string& account,
                   bool ready = true, std::uint32_t weight = 1) {
    const std::string name = absl::StrCat(cluster, "/", snapshot_.workloads.size());
    mesh::Workload workload;
    workload.name = name;
    workload.cluster = cluster;
    workload.node = node;
    workload.ns = "shop";
    workload.service_account = account;
    workload.id = IdOf(cluster, account);
    snapshot_.workloads.push_back(workload);
    mesh::Endpoint endpoint;
    endpoint.workload = name;
    endpoint.cluster = cluster;
    endpoint.node = node;
    endpoint.identity = workload.id;
    endpoint.address = {net::IpAddress::Loopback(false), 8080};
    endpoint.ready = ready;
    endpoint.weight = weight;
    snapshot_.services[0].ports[0].endpoints.push_back(endpoint);
  }
  Routes Build() {
    mesh::Snapshot snapshot;  // which is indexed once
    snapshot.trust_domain = snapshot_.trust_domain;
    snapshot.clusters = snapshot_.clusters;
    snapshot.workloads = snapshot_.workloads;
    snapshot.services = snapshot_.services;
    mesh::SeeFrom("west", snapshot);
    EXPECT_TRUE(snapshot.Index().ok());
    return Routes(snapshot, "west", nodes_);
  }
  static std::vector<std::string> NodesOf(const Routes::Found& found) {
    std::vector<std::string> names;
    for (const Route::Candidate& candidate : found.route->candidates) {
      names.push_back(absl::StrCat(candidate.node->name(), "=", candidate.share));
    }
    return names;
  }
  static std::string RefusalOf(const Routes::Found& found) {
    return std::string(found.refusal ? Name(*found.refusal) : "none");
  }

  mesh::Snapshot snapshot_;
  Nodes nodes_;
};

TEST_F(RoutesTest, LeadToTheNodesWithReadyEndpointsOfThatIdentity) {
  AddEndpoint("west", "n1", "web");
  AddEndpoint("west", "n1", "web", true, 4);
  AddEndpoint("west", "n1", "web", false, 100);
  AddEndpoint("west", "n2", "web");
  AddEndpoint("west", "n3", "web", false);
  AddEndpoint("west", "n3", "other");
  const Routes routes = Build();
  EXPECT_EQ(routes.size(), 2u);
  const Routes::Found web = routes.Find(NameOf("west", "web"));
  ASSERT_NE(web.route, nullptr);
  EXPECT_THAT(NodesOf(web), UnorderedElementsAre("n1=5", "n2=1"));
  EXPECT_EQ(web.route->service, "shop/web");
  EXPECT_EQ(web.route->port, 80);
  const Routes::Found other = routes.Find(NameOf("west", "other"));
  ASSERT_NE(other.route, nullptr);
  EXPECT_THAT(NodesOf(other), UnorderedElementsAre("n3=1"));
  EXPECT_EQ(other.route->candidates[0].node->address().port, 15000 + '3');
}

TEST_F(RoutesTest, EveryOtherNameIsRefused) {
  AddEndpoint("west", "n1", "web");
  AddEndpoint("west", "n1", "gone", false);
  AddEndpoint("east", "n1", "web");
  const Routes routes = Build();
  const std::string good = NameOf("west", "web");
  EXPECT_EQ(RefusalOf(routes.Find(good)), "none");
  EXPECT_EQ(RefusalOf(routes.Find(NameOf("west", "gone"))), "no_endpoint");
  EXPECT_EQ(RefusalOf(routes.Find(NameOf("west", "nobody"))), "unknown_name");
  EXPECT_EQ(RefusalOf(routes.Find(NameOf("west", "web", "shop/web", 81))), "unknown_name");
  EXPECT_EQ(RefusalOf(routes.Find(NameOf("east", "web"))), "other_cluster");
  // A cluster's own name with another's routing id.
  const std::string id = tunnel::RoutingId("shop/web", 80, IdOf("east", "web"));
  EXPECT_EQ(RefusalOf(routes.Find(tunnel::ServerName(id, "west"))), "unknown_name");
  for (const std::string& name :
       {std::string(), std::string("example.com"), good + ".", "x" + good, good.substr(1),
        NameOf("north", "web"), std::string("west.tombolo.internal")}) {
    EXPECT_EQ(RefusalOf(routes.Find(name)), "unknown_name") << name;
  }
}

TEST_F(RoutesTest, AClusterThatIsReachedByLinks) {
  const auto name = [](const std::string& cluster) { return NameOf(cluster, "web"); };
  snapshot_.clusters.push_back({.name = "south"});
  snapshot_.clusters.back().gateways = {{.name = "gw-1", .via = "west"}};
  snapshot_.clusters.push_back({.name = "north"});
  snapshot_.clusters.back().gateways = {{.name = "gw-1", .via = "east"}};
  const Routes routes(snapshot_, "west", nodes_);
  const Routes::Found south = routes.Find(name("south"));
  ASSERT_NE(south.linked, nullptr);
  EXPECT_EQ(*south.linked, "south");
  EXPECT_FALSE(south.refusal.has_value());
  EXPECT_EQ(south.route, nullptr);
  EXPECT_EQ(routes.Find(name("north")).refusal, Refusal::kOtherCluster);
  EXPECT_EQ(routes.Find(name("east")).refusal, Refusal::kOtherCluster);
  EXPECT_EQ(routes.Find("link.south.tombolo.internal").refusal, Refusal::kUnknownName);
}

TEST_F(RoutesTest, WhatIsKnownOfANodeOutlivesAChangeOfTheDirectory) {
  AddEndpoint("west", "n1", "web");
  const auto first = std::make_unique<Routes>(Build());
  const Node* n1 = first->Find(NameOf("west", "web")).route->candidates[0].node.get();
  AddEndpoint("west", "n2", "web");
  const Routes second = Build();
  EXPECT_EQ(second.Find(NameOf("west", "web")).route->candidates[0].node.get(), n1);
  EXPECT_EQ(nodes_.all().size(), 2u);
  // Another address is another node; the old one stays for as long as somebody has it.
  snapshot_.clusters[0].nodes[0].tunnel_address.port = 1;
  const Routes third = Build();
  EXPECT_NE(third.Find(NameOf("west", "web")).route->candidates[0].node.get(), n1);
  EXPECT_EQ(nodes_.all().size(), 3u);
  nodes_.DropUnused();
  EXPECT_EQ(nodes_.all().size(), 3u);
}

TEST_F(RoutesTest, NodesThatNobodyKnowsAreDropped) {
  AddEndpoint("west", "n1", "web");
  auto routes = std::make_unique<Routes>(Build());
  routes.reset();
  nodes_.DropUnused();
  EXPECT_TRUE(nodes_.all().empty());
}

class ChoiceTest : public testing::Test {
 protected:
  // "a1" is in zone a.
  void Add(const std::string& name, std::uint32_t share = 1) {
    auto node = std::make_shared<Node>(name, net::SocketAddress(), name.substr(0, 1));
    route_.candidates.push_back({node, share});
    nodes_[name] = node;
  }
  std::string Next(const std::string& zone = "") {
    Node::Use use = Choose(route_, tried_, zone, now_, random_);
    if (use.get() == nullptr) return "none";
    const std::string name = use->name();
    uses_.push_back(std::move(use));
    return name;
  }
  std::map<std::string, int> Count(int count, const std::string& zone = "") {
    std::map<std::string, int> counts;
    for (int i = 0; i < count; ++i) ++counts[Next(zone)];
    return counts;
  }
  void Pass(Duration time) { now_ += time; }

  Route route_;
  std::map<std::string, std::shared_ptr<Node>> nodes_;
  std::vector<const Node*> tried_;
  std::vector<Node::Use> uses_;
  MonotonicTime now_ = std::chrono::steady_clock::now();
  std::minstd_rand random_{1};
};

using Counts = std::map<std::string, int>;

TEST_F(ChoiceTest, FewestTunnels) {
  Add("a1");
  Add("a2");
  Add("a3");
  EXPECT_EQ(Count(30), (Counts{{"a1", 10}, {"a2", 10}, {"a3", 10}}));
  // Ended tunnels no longer count.
  std::erase_if(uses_, [](const Node::Use& use) { return use->name() == "a2"; });
  EXPECT_EQ(nodes_["a2"]->tunnels(), 0u);
  EXPECT_EQ(Count(10), (Counts{{"a2", 10}}));
}

TEST_F(ChoiceTest, InProportionToTheirShares) {
  Add("a1", 1);
  Add("a2", 3);
  EXPECT_EQ(Count(40), (Counts{{"a1", 10}, {"a2", 30}}));
}

// Gateways that have just begun, all at once, do not all begin with the same node.
TEST_F(ChoiceTest, EqualsAreChosenAtRandom) {
  Add("a1");
  Add("a2");
  Counts first;
  for (int i = 0; i < 200; ++i) {
    ++first[Next()];
    uses_.clear();
  }
  EXPECT_GT(first["a1"], 50);
  EXPECT_GT(first["a2"], 50);
}

TEST_F(ChoiceTest, OwnZoneUnlessItIsMuchBusier) {
  Add("a1");
  Add("b1");
  EXPECT_EQ(Count(16, "a"), (Counts{{"a1", 16}}));
  const Counts more = Count(3000, "a");
  EXPECT_NEAR(more.at("a1"), 2000, 20);
  EXPECT_NEAR(more.at("b1"), 1000, 20);
}

TEST_F(ChoiceTest, AnotherZoneIsBetterThanNone) {
  Add("b1");
  EXPECT_EQ(Next("a"), "b1");
}

TEST_F(ChoiceTest, NeverTheSameTwice) {
  Add("a1");
  Add("b1");
  const std::string first = Next("a");
  EXPECT_EQ(first, "a1");
  tried_.push_back(nodes_[first].get());
  EXPECT_EQ(Next("a"), "b1");
  tried_.push_back(nodes_["b1"].get());
  EXPECT_EQ(Next("a"), "none");
}

TEST_F(ChoiceTest, AvoidsWhatCouldNotBeDialled) {
  Add("a1");
  Add("b1");
  nodes_["a1"]->Failed(now_);
  EXPECT_EQ(Count(5, "a"), (Counts{{"b1", 5}}));
  // Then one connection tries it, and until that has told how it went the others do not.
  Pass(Node::kFirstAvoidance);
  EXPECT_EQ(Count(5, "a"), (Counts{{"a1", 1}, {"b1", 4}}));
  nodes_["a1"]->Reached();
  EXPECT_EQ(Count(5, "a"), (Counts{{"a1", 5}}));
  EXPECT_EQ(nodes_["a1"]->failed(), 1u);
  EXPECT_EQ(nodes_["a1"]->reached(), 1u);
}

// One that is never heard of again does not keep the node out for good.
TEST_F(ChoiceTest, ATrialThatDoesNotEndIsFollowedByAnother) {
  Add("a1");
  Add("b1");
  nodes_["a1"]->Failed(now_);
  Pass(Node::kFirstAvoidance);
  EXPECT_EQ(Next("a"), "a1");
  EXPECT_EQ(Next("a"), "b1");
  Pass(Node::kTrial);
  EXPECT_EQ(Next("a"), "a1");
}

TEST_F(ChoiceTest, WhenAllAreAvoidedTheOneThatIsSoonestBack) {
  Add("a1");
  Add("b1");
  nodes_["a1"]->Failed(now_);
  Pass(std::chrono::milliseconds(10));
  nodes_["b1"]->Failed(now_);
  EXPECT_EQ(Count(5, "b"), (Counts{{"a1", 5}}));
}

Duration AvoidedFor(const Node& node, MonotonicTime now) { return node.avoided_until() - now; }

TEST(NodeTest, AvoidedForAGrowingTime) {
  Node node("n", {}, "");
  MonotonicTime now = std::chrono::steady_clock::now();
  Duration expected = Node::kFirstAvoidance;
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(node.Claim(now));
    node.Failed(now);
    EXPECT_EQ(AvoidedFor(node, now), std::min(expected, Node::kLongestAvoidance)) << i;
    now = node.avoided_until();
    expected = std::min(2 * expected, 2 * Node::kLongestAvoidance);
  }
  EXPECT_TRUE(node.Claim(now));
  node.Reached();
  EXPECT_TRUE(node.Claim(now));
  node.Failed(now);
  EXPECT_EQ(AvoidedFor(node, now), Node::kFirstAvoidance);
}

// A node that restarts is gone for a moment, however many connections have seen that.
TEST(NodeTest, ManyFailuresAtOnceAreOne) {
  Node node("n", {}, "");
  const MonotonicTime now = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) node.Failed(now);
  EXPECT_EQ(AvoidedFor(node, now), Node::kFirstAvoidance);
  EXPECT_EQ(node.failed(), 100u);
}

TEST(NodeTest, CountsTunnelsOfAllThreads) {
  const auto node = std::make_shared<Node>("n", net::SocketAddress(), "");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&node] {
      const MonotonicTime now = std::chrono::steady_clock::now();
      for (int j = 0; j < 2000; ++j) {
        const Node::Use use(node);
        if (j % 3 == 0) node->Failed(now);
        if (node->Claim(now + std::chrono::hours(j))) node->Reached();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(node->tunnels(), 0u);
}

TEST(NodeTest, AUseIsGivenBackOnce) {
  const auto node = std::make_shared<Node>("n", net::SocketAddress(), "");
  Node::Use first(node);
  Node::Use second = std::move(first);
  EXPECT_EQ(node->tunnels(), 1u);
  first = Node::Use(node);
  EXPECT_EQ(node->tunnels(), 2u);
  second = std::move(first);
  { const Node::Use last = std::move(second); }
  first = Node::Use();
  EXPECT_EQ(node->tunnels(), 0u);
}

}  // namespace
}  // namespace tombolo::gateway
