// SPDX-License-Identifier: Apache-2.0
#include "mesh/snapshot.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "unit/mesh/small_mesh.h"

namespace tombolo::mesh {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(SnapshotTest, FindsEverythingByName) {
  const auto snapshot = SmallMesh();
  ASSERT_TRUE(snapshot->Index().ok());
  EXPECT_EQ(snapshot->FindNode("east", "east-1"), &snapshot->clusters[0].nodes[0]);
  EXPECT_EQ(snapshot->FindNode("east", "west-1"), nullptr);
  EXPECT_EQ(snapshot->FindWorkload("west/web"), &snapshot->workloads[1]);
  EXPECT_EQ(snapshot->FindWorkload("west"), nullptr);
  EXPECT_EQ(snapshot->FindService("shop/web"), &snapshot->services[0]);
  EXPECT_EQ(snapshot->FindService("shop/we"), nullptr);
  EXPECT_EQ(snapshot->FindService("shopweb"), nullptr);
  EXPECT_EQ(snapshot->FindService(""), nullptr);
}

TEST(SnapshotTest, FindsAServiceByVipAndPort) {
  const auto snapshot = SmallMesh();
  ASSERT_TRUE(snapshot->Index().ok());
  const ServiceRef found = snapshot->FindVip(*net::SocketAddress::Parse("10.96.0.10:443"));
  EXPECT_EQ(found.service, &snapshot->services[0]);
  EXPECT_EQ(found.port, &snapshot->services[0].ports[1]);
  EXPECT_EQ(snapshot->FindVip(*net::SocketAddress::Parse("10.96.0.10:81")).service, nullptr);
  EXPECT_EQ(snapshot->FindVip(*net::SocketAddress::Parse("10.96.0.11:80")).port, nullptr);
}

TEST(SnapshotTest, FindsRulesInTheOrderOfTheList) {
  const auto snapshot = SmallMesh();
  AllowRule again = snapshot->allow[0];
  again.ports = {443};
  snapshot->allow.push_back({.from = "spiffe://td/*", .service = "shop/web", .ports = {}});
  snapshot->allow.push_back(again);
  ASSERT_TRUE(snapshot->Index().ok());
  EXPECT_THAT(snapshot->FindRules("shop/web", again.from), ElementsAre(0, 2));
  EXPECT_THAT(snapshot->FindRules("shop/web", "spiffe://td/*"), ElementsAre(1));
  EXPECT_THAT(snapshot->FindRules("shop/web", "spiffe://td"), IsEmpty());
  EXPECT_THAT(snapshot->FindRules("shop/other", "spiffe://td/*"), IsEmpty());
}

Gateway At(const char* name, const char* address) {
  return {.name = name, .address = *net::SocketAddress::Parse(address)};
}

std::vector<std::string> WaysTo(const Snapshot& snapshot, const char* cluster) {
  std::vector<std::string> ways;
  for (const Gateway& way : snapshot.FindCluster(cluster)->ways) {
    ways.push_back(absl::StrCat(way.name, " ", way.address.ToString()));
  }
  return ways;
}

TEST(SnapshotTest, ThroughOtherGatewaysWhereNobodyCanDial) {
  const auto snapshot = SmallMesh();
  snapshot->clusters[0].gateways = {
      At("gw-1", "192.0.2.1:1"), At("gw-2", "192.0.2.2:1"), {.name = "private", .via = "west"}};
  snapshot->clusters[1].gateways = {
      At("gw-1", "192.0.2.3:1"), {.name = "a", .via = "east"}, {.name = "b", .via = "east"}};
  ASSERT_TRUE(snapshot->Index().ok());
  // Once each, and no chain of links.
  EXPECT_THAT(WaysTo(*snapshot, "west"),
              ElementsAre("gw-1 192.0.2.3:1", "east/gw-1 192.0.2.1:1", "east/gw-2 192.0.2.2:1"));
  EXPECT_EQ(snapshot->FindCluster("west")->ways[1].via, "east");
  EXPECT_EQ(snapshot->FindCluster("west")->ways[0].via, "");
}

TEST(SnapshotTest, WhatIsBehindAnUnknownClusterIsOutOfReach) {
  const auto snapshot = SmallMesh();
  snapshot->clusters[1].gateways = {{.name = "a", .via = "north"}};
  snapshot->imports.emplace();
  ASSERT_TRUE(snapshot->Index().ok());
  EXPECT_THAT(WaysTo(*snapshot, "west"), IsEmpty());
}

struct Misfit {
  const char* name;
  std::function<void(Snapshot&)> make;
  const char* message;
};

class MisfitTest : public testing::TestWithParam<Misfit> {};

TEST_P(MisfitTest, IsRefused) {
  const auto snapshot = SmallMesh();
  GetParam().make(*snapshot);
  const absl::Status status = snapshot->Index();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Snapshots, MisfitTest,
    testing::Values(
        Misfit{"cluster", [](Snapshot& s) { s.clusters[1].name = "east"; }, "cluster 'east'"},
        Misfit{"node", [](Snapshot& s) { s.clusters[0].nodes.push_back(s.clusters[0].nodes[0]); },
               "node 'east/east-1'"},
        Misfit{"workload", [](Snapshot& s) { s.workloads[0].name = "west/web"; },
               "workload 'west/web' is there twice"},
        Misfit{"place", [](Snapshot& s) { s.workloads[0].node = "west-1"; },
               "unknown node 'east/west-1'"},
        Misfit{"service", [](Snapshot& s) { s.services.push_back(s.services[0]); },
               "service 'shop/web' is there twice"},
        Misfit{"port", [](Snapshot& s) { s.services[0].ports[1].port = 80; }, "port 80 twice"},
        Misfit{"vip",
               [](Snapshot& s) {
                 s.services.push_back(s.services[0]);
                 s.services[1].name = "web2";
               },
               "10.96.0.10:80"},
        Misfit{"endpoint",
               [](Snapshot& s) { s.services[0].ports[0].endpoints[0].workload = "west/gone"; },
               "unknown workload 'west/gone'"},
        Misfit{
            "identity",
            [](Snapshot& s) { s.services[0].ports[0].endpoints[0].identity = s.workloads[0].id; },
            "differs from its workload"},
        Misfit{"no_gateways",
               [](Snapshot& s) { s.services[0].ports[0].endpoints[0].workload = ""; },
               "behind the gateways of cluster 'west', which has none"},
        Misfit{"foreign_identity",
               [](Snapshot& s) {
                 s.clusters[1].gateways = {{"gw", *net::SocketAddress::Parse("192.0.2.1:1")}};
                 s.services[0].ports[0].endpoints[0].workload = "";
                 s.services[0].ports[0].endpoints[0].identity = s.workloads[0].id;
               },
               "endpoint of cluster 'west' with the identity 'spiffe://td/cluster/east/"},
        Misfit{"via_unknown",
               [](Snapshot& s) { s.clusters[1].gateways = {{.name = "gw", .via = "north"}}; },
               "gateway 'west/gw' is reached via 'north', which is no other cluster"},
        Misfit{"via_itself",
               [](Snapshot& s) { s.clusters[1].gateways = {{.name = "gw", .via = "west"}}; },
               "gateway 'west/gw' is reached via 'west', which is no other cluster"},
        Misfit{"rule", [](Snapshot& s) { s.allow[0].service = "shop/gone"; }, "'shop/gone'"},
        Misfit{"rule_port", [](Snapshot& s) { s.allow[0].ports = {81}; }, "no port 81"}),
    [](const auto& info) { return std::string(info.param.name); });

struct Match {
  const char* from;
  const char* client;
  bool matches;
};

class AllowRuleTest : public testing::TestWithParam<Match> {};

TEST_P(AllowRuleTest, Matches) {
  const AllowRule rule{.from = GetParam().from, .service = "shop/web", .ports = {}};
  EXPECT_EQ(rule.Matches(*SpiffeId::Parse(GetParam().client)), GetParam().matches)
      << GetParam().from << " " << GetParam().client;
}

INSTANTIATE_TEST_SUITE_P(Rules, AllowRuleTest,
                         testing::Values(Match{"spiffe://td/a/b", "spiffe://td/a/b", true},
                                         Match{"spiffe://td/a/b", "spiffe://td/a/bc", false},
                                         Match{"spiffe://td/a/b", "spiffe://td/a", false},
                                         Match{"spiffe://td/a/*", "spiffe://td/a/b", true},
                                         Match{"spiffe://td/a/*", "spiffe://td/a/b/c", true},
                                         Match{"spiffe://td/a/*", "spiffe://td/a", false},
                                         Match{"spiffe://td/a/*", "spiffe://td/ab", false},
                                         Match{"spiffe://td/a/*", "spiffe://td/ab/c", false},
                                         Match{"spiffe://td/*", "spiffe://td/a", true},
                                         Match{"spiffe://td/*", "spiffe://td", false},
                                         Match{"spiffe://td/*", "spiffe://td.evil/a", false}));

TEST(EmptyIdTest, NobodyMatchesNothing) {
  EXPECT_FALSE(AllowRule{}.Matches(SpiffeId()));
  const AllowRule all{.from = "spiffe://td/*", .service = "shop/web", .ports = {}};
  EXPECT_FALSE(all.Matches(SpiffeId()));
}

}  // namespace
}  // namespace tombolo::mesh
