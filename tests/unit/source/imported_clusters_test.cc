// SPDX-License-Identifier: Apache-2.0
#include "source/imported_clusters.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "source/values.h"
#include "unit/source/import_case.h"

namespace tombolo::source {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(DirectoryImportTest, NobodyIsAMemberWithoutAnAdministrator) {
  Keys keys = WestKeys();
  keys.erase("admin/clusters/west");
  const ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), ElementsAre("clusters/west/: not_a_member"));
  EXPECT_EQ(imported.snapshot->FindCluster("west"), nullptr);
  EXPECT_FALSE(Served(imported));
}

TEST(DirectoryImportTest, AnAdministratorSaysThroughWhomAClusterMayBeReached) {
  Keys keys = WestKeys();
  keys["clusters/west/gateways/a"] = R"({"via":"east"})";
  keys["clusters/west/gateways/b"] = R"({"via":"north"})";
  keys["clusters/west/gateways/c"] = R"({"via":"west"})";
  keys["admin/clusters/west"] = R"({"gateways":["203.0.113.0/24"],"via":["east","west"]})";
  const ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), ElementsAre("clusters/west/gateways/b: gateway_address",
                                             "clusters/west/gateways/c: gateway_address"));
  EXPECT_TRUE(Served(imported));
  for (const mesh::Gateway& gateway : imported.snapshot->FindCluster("west")->gateways) {
    EXPECT_EQ(gateway.via, gateway.name == "a" ? "east" : "") << gateway.name;
  }
}

TEST(DirectoryImportTest, AGatewayHasToBeWhereAnAdministratorAllows) {
  Keys keys = WestKeys();
  keys["clusters/west/gateways/g2"] = R"({"address":"198.51.100.1:15443"})";
  keys["clusters/west/gateways/g3"] = R"({"address":"192.0.2.1:15443"})";     // east's
  keys["clusters/west/gateways/g4"] = R"({"address":"203.0.113.10:15443"})";  // g1's
  keys["clusters/west/gateways/g5"] = R"({"address":"127.0.0.1:15443"})";
  const ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), ElementsAre("clusters/west/gateways/g5: malformed",
                                             "clusters/west/gateways/g2: gateway_address",
                                             "clusters/west/gateways/g3: gateway_address",
                                             "clusters/west/gateways/g4: gateway_address"));
  EXPECT_EQ(imported.snapshot->FindCluster("west")->gateways.size(), 1u);
}

// South cannot take west's address from it, whoever comes first and whatever it says.
TEST(DirectoryImportTest, WhereClustersOverlapTheLongerPrefixDecides) {
  Keys keys = WestKeys();
  keys["admin/clusters/south"] = R"({"gateways":["203.0.0.0/16"]})";
  keys["clusters/south/gateways/g1"] = R"({"address":"203.0.113.10:15443"})";
  keys["clusters/south/gateways/g2"] = R"({"address":"203.0.5.1:15443"})";
  ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), ElementsAre("clusters/south/gateways/g1: gateway_address"));
  EXPECT_EQ(imported.snapshot->FindCluster("south")->gateways.size(), 1u);
  EXPECT_TRUE(Served(imported));

  // An administrator who gives both the same has given it to neither.
  keys["admin/clusters/south"] = R"({"gateways":["203.0.113.0/24"]})";
  keys.erase("clusters/south/gateways/g1");
  imported = Import(keys);
  EXPECT_THAT(Refused(imported),
              testing::UnorderedElementsAre(
                  "clusters/south/gateways/g2: gateway_address", "clusters/south/: no_gateway",
                  "clusters/west/gateways/g1: gateway_address", "clusters/west/: no_gateway"));
}

// What it serves stays listed, so that no running connection is taken for one that is forbidden.
TEST(DirectoryImportTest, AClusterWithoutALiveGatewayGetsNothingNew) {
  Keys keys = WestKeys();
  keys.erase("clusters/west/gateways/g1");  // its lease has ended
  const ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), ElementsAre("clusters/west/: no_gateway"));
  EXPECT_THAT(imported.snapshot->FindCluster("west")->ways, IsEmpty());
  const mesh::Endpoint& endpoint = PortOf(imported, "shop/web")->endpoints.at(0);
  EXPECT_EQ(endpoint.identity.text(), kWestWeb);
  EXPECT_FALSE(endpoint.ready);
  EXPECT_EQ(endpoint.members, 2u);
  EXPECT_EQ(endpoint.ready_members, 0u);
}

// West keeps links to south and east, and nobody can dial it.
TEST(DirectoryImportTest, AClusterIsReachableWhileAClusterThatItIsLinkedToIs) {
  Keys keys = WestKeys();
  keys["admin/clusters/west"] = R"({"gateways":[],"via":["east","south"]})";
  keys["clusters/west/gateways/g1"] = R"({"via":"south"})";
  keys["clusters/west/gateways/g2"] = R"({"via":"east"})";
  const auto expect = [&](std::size_t ways, const std::vector<std::string>& refused,
                          const std::shared_ptr<mesh::Snapshot>& file = EastFile()) {
    const ImportedDirectory imported = Import(keys, file);
    EXPECT_EQ(imported.snapshot->FindCluster("west")->ways.size(), ways);
    EXPECT_THAT(Refused(imported), testing::ElementsAreArray(refused));
    const mesh::Endpoint& endpoint = PortOf(imported, "shop/web")->endpoints.at(0);
    EXPECT_EQ(endpoint.ready, ways > 0);
    EXPECT_EQ(endpoint.ready_members, ways > 0 ? 2u : 0u);
    EXPECT_EQ(endpoint.weight, ways > 0 ? 2u : 0u);
    EXPECT_EQ(endpoint.members, 2u);
  };
  expect(0, {"clusters/west/: no_gateway"});  // no member
  keys["admin/clusters/south"] = R"({"gateways":["198.51.100.0/24"],"via":["north"]})";
  keys["clusters/south/cluster"] = "{}";
  expect(0, {"clusters/south/: no_gateway", "clusters/west/: no_gateway"});
  keys["clusters/south/gateways/g1"] = R"({"via":"north"})";  // links are no chain
  expect(0, {"clusters/south/: no_gateway", "clusters/west/: no_gateway"});
  keys["clusters/south/gateways/g1"] = R"({"address":"198.51.100.1:15443"})";
  expect(1, {});  // south is after west
  keys.erase("clusters/south/gateways/g1");
  auto file = EastFile();
  file->clusters[0].gateways = {
      {.name = "g1", .address = *net::SocketAddress::Parse("192.0.2.1:15443")}};
  expect(1, {"clusters/south/: no_gateway"}, file);
}

TEST(DirectoryImportTest, AClusterOfTheFileMayNeedOneOfTheOthers) {
  auto file = EastFile();
  file->clusters.push_back({.name = "north", .gateways = {{.name = "g1", .via = "west"}}});
  mesh::Endpoint& endpoint = file->services[0].ports[0].endpoints.emplace_back();
  endpoint.cluster = "north";
  endpoint.identity = *SpiffeId::ForWorkload("td", "north", "shop", "local");
  ASSERT_TRUE(file->Index().ok());
  Keys keys = WestKeys();
  const auto ready = [&] {
    return PortOf(Import(keys, file), "shop/local")->endpoints.at(1).ready;
  };
  EXPECT_TRUE(ready());
  keys.erase("clusters/west/gateways/g1");
  EXPECT_THAT(Refused(Import(keys, file)), ElementsAre("clusters/west/: no_gateway"));
  EXPECT_FALSE(ready());
}

TEST(DirectoryImportTest, AnAdministratorDrains) {
  Keys keys = WestKeys();
  keys["admin/clusters/west"] = R"({"gateways":["203.0.113.0/24"],"draining":true})";
  EXPECT_TRUE(Import(keys).snapshot->FindCluster("west")->draining);
  EXPECT_FALSE(Import(keys).snapshot->FindCluster("east")->draining);
  keys["admin/clusters/east"] = R"({"gateways":["192.0.2.0/24"],"draining":true})";
  EXPECT_TRUE(Import(keys).snapshot->FindCluster("east")->draining);
  for (const char* cluster : {"east", "west"}) {
    EXPECT_FALSE(Import(keys).snapshot->FindCluster(cluster)->drain_deadline.has_value());
    std::string& record = keys[absl::StrCat("admin/clusters/", cluster)];
    record.insert(record.size() - 1, R"(,"deadline":"2026-01-31T12:00:00Z")");
    EXPECT_EQ(Import(keys).snapshot->FindCluster(cluster)->drain_deadline,
              *ParseTime("2026-01-31T12:00:00Z"))
        << cluster;
  }
}

TEST(DirectoryImportTest, WhatEtcdSaysOfTheOwnClusterIsNotImported) {
  Keys keys = WestKeys();
  keys["clusters/east/cluster"] = R"({"region":"moon"})";
  keys["clusters/east/gateways/g1"] = R"({"address":"192.0.2.1:15443"})";
  keys["clusters/east/services/shop/web"] = Exported("spiffe://td/cluster/east/ns/shop/sa/web");
  const ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), IsEmpty());
  EXPECT_EQ(imported.snapshot->FindCluster("east")->region, "eu-east");
  EXPECT_THAT(imported.snapshot->FindCluster("east")->gateways, IsEmpty());
  EXPECT_EQ(PortOf(imported, "shop/web")->endpoints.size(), 1u);
}

TEST(DirectoryImportTest, WhatAClusterMayServeIsKnownOfIt) {
  Keys keys = WestKeys();
  EXPECT_TRUE(Import(keys).snapshot->FindCluster("west")->MayServe("shop"));
  EXPECT_FALSE(Import(keys).snapshot->FindCluster("west")->MayServe("payments"));
  EXPECT_TRUE(Import(keys).snapshot->FindCluster("east")->MayServe("payments"));
  keys.erase("admin/namespaces/shop");
  EXPECT_FALSE(Import(keys).snapshot->FindCluster("west")->MayServe("shop"));
}

// So that what runs there goes on until an administrator says otherwise.
TEST(DirectoryImportTest, AMemberOfWhichNothingCanBeReadIsAMember) {
  Keys keys = WestKeys();
  keys.erase("clusters/west/gateways/g1");
  keys["clusters/west/cluster"] = "{";
  keys["clusters/west/services/shop/web"] = kLeftOutValue;
  const ImportedDirectory imported = Import(keys);
  const mesh::Cluster* west = imported.snapshot->FindCluster("west");
  ASSERT_NE(west, nullptr);
  EXPECT_THAT(west->gateways, IsEmpty());
  EXPECT_TRUE(west->MayServe("shop"));
  EXPECT_THAT(Refused(imported), ElementsAre("clusters/west/cluster: malformed",
                                             "clusters/west/services/shop/web: malformed"));
  keys.erase("admin/clusters/west");
  EXPECT_EQ(Import(keys).snapshot->FindCluster("west"), nullptr);
}

TEST(DirectoryImportTest, AClusterOfTheFileIsTheFiles) {
  auto file = EastFile();
  file->clusters.push_back({.name = "west"});
  ASSERT_TRUE(file->Index().ok());
  const ImportedDirectory imported = Import(WestKeys(), file);
  EXPECT_THAT(Refused(imported), ElementsAre("clusters/west/: in_file"));
  EXPECT_FALSE(Served(imported));
}

}  // namespace
}  // namespace tombolo::source
