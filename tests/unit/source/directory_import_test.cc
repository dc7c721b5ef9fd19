// SPDX-License-Identifier: Apache-2.0
#include "source/directory_import.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "source/values.h"
#include "unit/source/shared_mesh.h"

namespace tombolo::source {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kWeb[] = "clusters/west/services/shop/web";

// All that was refused and told, as "key: reason".
std::vector<std::string> Refused(const ImportedDirectory& imported) {
  std::vector<std::string> refused;
  for (const auto& [of, group] : imported.refusals.groups()) {
    for (const Refusal& refusal : group.told) {
      EXPECT_EQ(refusal.cluster, of.first);
      EXPECT_FALSE(refusal.what.empty());
      refused.push_back(absl::StrCat(refusal.key, ": ", Name(refusal.reason)));
    }
  }
  return refused;
}

const mesh::ServicePort* PortOf(const ImportedDirectory& imported, absl::string_view service,
                                std::uint16_t port = 80) {
  const mesh::Service* found = imported.snapshot->FindService(service);
  return found == nullptr ? nullptr : found->FindPort(port);
}

bool Served(const ImportedDirectory& imported) {
  const mesh::ServicePort* port = PortOf(imported, "shop/web");
  return port != nullptr && !port->endpoints.empty();
}

TEST(DirectoryImportTest, TakesWhatAnAdministratorAllows) {
  const ImportedDirectory imported = Import(WestKeys());
  EXPECT_THAT(Refused(imported), IsEmpty());
  const mesh::Cluster* west = imported.snapshot->FindCluster("west");
  ASSERT_NE(west, nullptr);
  EXPECT_EQ(west->region, "eu-west");
  EXPECT_FALSE(west->draining);
  ASSERT_EQ(west->gateways.size(), 1u);
  EXPECT_EQ(west->gateways[0].name, "g1");
  EXPECT_EQ(west->gateways[0].address.ToString(), "203.0.113.10:15443");
  EXPECT_EQ(west->gateways[0].zone, "a");
  const mesh::ServiceRef web =
      imported.snapshot->FindVip(*net::SocketAddress::Parse("10.112.0.7:80"));
  ASSERT_NE(web.service, nullptr);
  EXPECT_EQ(web.service->FullName(), "shop/web");
  ASSERT_EQ(web.port->endpoints.size(), 1u);
  const mesh::Endpoint& endpoint = web.port->endpoints[0];
  EXPECT_TRUE(endpoint.behind_gateways());
  EXPECT_EQ(endpoint.cluster, "west");
  EXPECT_EQ(endpoint.identity.text(), kWestWeb);
  EXPECT_TRUE(endpoint.ready);
  EXPECT_EQ(endpoint.members, 2u);
  EXPECT_EQ(endpoint.ready_members, 2u);
  EXPECT_EQ(endpoint.weight, 2u);
  // The file's own are as they were.
  EXPECT_EQ(PortOf(imported, "shop/local")->endpoints.size(), 1u);
  EXPECT_NE(imported.snapshot->FindWorkload("east/curl"), nullptr);
}

TEST(DirectoryImportTest, NobodyIsAMemberWithoutAnAdministrator) {
  Keys keys = WestKeys();
  keys.erase("admin/clusters/west");
  const ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), ElementsAre("clusters/west/: not_a_member"));
  EXPECT_EQ(imported.snapshot->FindCluster("west"), nullptr);
  EXPECT_FALSE(Served(imported));
}

TEST(DirectoryImportTest, AServiceOfANamespaceThatWasNotGrantedIsRefused) {
  Keys keys = WestKeys();
  keys["clusters/west/services/payments/api"] =
      Exported("spiffe://td/cluster/west/ns/payments/sa/api");
  auto file = EastFile();
  file->allow.push_back(
      {.from = "spiffe://td/cluster/east/ns/shop/sa/curl", .service = "payments/api", .ports = {}});
  for (const char* grant : {"", R"({"clusters":[]})", R"({"clusters":["east"]})", "{}"}) {
    if (*grant != '\0') keys["admin/namespaces/payments"] = grant;
    const ImportedDirectory imported = Import(keys, file);
    EXPECT_THAT(Refused(imported),
                testing::Contains("clusters/west/services/payments/api: namespace"));
    EXPECT_EQ(PortOf(imported, "payments/api"), nullptr);
    EXPECT_TRUE(Served(imported));
  }
  keys["admin/namespaces/payments"] = R"({"clusters":["west"]})";
  EXPECT_NE(PortOf(Import(keys, file), "payments/api"), nullptr);
}

TEST(DirectoryImportTest, IdentitiesAreTheClustersOwnInThatNamespace) {
  for (const char* identity :
       {"spiffe://td/cluster/east/ns/shop/sa/local", "spiffe://td/cluster/west/ns/payments/sa/web",
        "spiffe://other/cluster/west/ns/shop/sa/web", "spiffe://td/cluster/west/node/n1",
        "spiffe://td/cluster/west/ns/shop/sa/web/x", "spiffe://td/cluster/west/ns/shop/sa",
        "spiffe://td/cluster/west2/ns/shop/sa/web", "spiffe://td/ca"}) {
    Keys keys = WestKeys();
    keys[kWeb] = Exported(identity);
    const ImportedDirectory imported = Import(keys);
    EXPECT_THAT(Refused(imported), ElementsAre(absl::StrCat(kWeb, ": identity"))) << identity;
    EXPECT_FALSE(Served(imported)) << identity;
    EXPECT_NE(imported.snapshot->FindCluster("west"), nullptr);
  }
}

TEST(DirectoryImportTest, OneForeignIdentityTakesTheWholeRecordAway) {
  Keys keys = WestKeys();
  const std::string good = Exported(kWestWeb, 80), bad = Exported("spiffe://td/ca", 81);
  keys[kWeb] = absl::StrReplaceAll(absl::StrCat(good, bad), {{R"(]}{"ports":[)", ","}});
  const ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), ElementsAre(absl::StrCat(kWeb, ": identity")));
  EXPECT_EQ(PortOf(imported, "shop/web", 80), nullptr);
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

TEST(DirectoryImportTest, AVipOrARoutingIdTakesTheRecordAway) {
  for (const char* field : {R"("vips":["10.96.0.1"])", R"("routing_id":"00112233")"}) {
    Keys keys = WestKeys();
    keys[kWeb] =
        absl::StrReplaceAll(keys[kWeb], {{R"({"ports")", absl::StrCat("{", field, R"(,"ports")")}});
    const ImportedDirectory imported = Import(keys);
    EXPECT_THAT(Refused(imported), ElementsAre(absl::StrCat(kWeb, ": malformed")));
    EXPECT_FALSE(Served(imported));
  }
}

TEST(DirectoryImportTest, OthersVipsAreNothingToUs) {
  Keys keys = WestKeys();
  keys.erase("clusters/east/vips/shop/web");
  keys["clusters/west/vips/shop/web"] = R"({"vips":["10.96.0.1"]})";
  keys["clusters/west/vips/shop/local"] = R"({"vips":["10.112.0.9"]})";
  const ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), IsEmpty());
  EXPECT_THAT(imported.snapshot->FindService("shop/web")->vips, IsEmpty());
  EXPECT_EQ(imported.snapshot->FindService("shop/local")->vips.size(), 1u);
}

TEST(DirectoryImportTest, AVipHasToBeOfTheFilesRangeAndFree) {
  for (const char* vip : {"10.96.0.1", "10.113.0.1", "172.31.0.1"}) {
    Keys keys = WestKeys();
    keys["clusters/east/vips/shop/web"] = absl::StrCat(R"({"vips":[")", vip, R"("]})");
    auto file = EastFile();
    if (std::string(vip) == "10.96.0.1")
      file->imports->vips.push_back(*net::Prefix::Parse("10.96.0.0/16"));
    const ImportedDirectory imported = Import(keys, file);
    EXPECT_THAT(Refused(imported), ElementsAre("clusters/east/vips/shop/web: vip")) << vip;
    EXPECT_THAT(imported.snapshot->FindService("shop/web")->vips, IsEmpty());
    EXPECT_TRUE(Served(imported));
  }
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

TEST(DirectoryImportTest, AClusterOfTheFileIsTheFiles) {
  auto file = EastFile();
  file->clusters.push_back({.name = "west"});
  ASSERT_TRUE(file->Index().ok());
  const ImportedDirectory imported = Import(WestKeys(), file);
  EXPECT_THAT(Refused(imported), ElementsAre("clusters/west/: in_file"));
  EXPECT_FALSE(Served(imported));
}

TEST(DirectoryImportTest, AServiceInBothIsOne) {
  Keys keys = WestKeys();
  keys["clusters/west/services/shop/local"] = Exported(kWestWeb, 80);
  keys["clusters/east/vips/shop/local"] = R"({"vips":["10.112.0.8"]})";
  ImportedDirectory imported = Import(keys);
  const mesh::Service* local = imported.snapshot->FindService("shop/local");
  ASSERT_EQ(local->vips.size(), 1u);
  EXPECT_EQ(local->vips[0].ToString(), "10.96.0.1");
  ASSERT_EQ(local->FindPort(80)->endpoints.size(), 2u);
  EXPECT_EQ(local->FindPort(80)->endpoints[1].cluster, "west");
  // What its ports are, the file decides.
  keys["clusters/west/services/shop/local"] = Exported(kWestWeb, 5432);
  imported = Import(keys);
  EXPECT_EQ(PortOf(imported, "shop/local", 5432), nullptr);
  EXPECT_THAT(Refused(imported), IsEmpty());
}

TEST(DirectoryImportTest, AnImportedServiceHasThePortsOfAll) {
  Keys keys = WestKeys();
  keys["admin/clusters/south"] = R"({"gateways":["198.51.100.0/24"]})";
  keys["admin/namespaces/shop"] = R"({"clusters":["west","south"]})";
  keys["clusters/south/gateways/g1"] = R"({"address":"198.51.100.1:15443"})";
  keys["clusters/south/services/shop/web"] =
      absl::StrReplaceAll(absl::StrCat(Exported("spiffe://td/cluster/south/ns/shop/sa/web", 80),
                                       Exported("spiffe://td/cluster/south/ns/shop/sa/web", 443)),
                          {{R"(]}{"ports":[)", ","}});
  const ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), IsEmpty());
  EXPECT_EQ(PortOf(imported, "shop/web", 80)->endpoints.size(), 2u);
  EXPECT_EQ(PortOf(imported, "shop/web", 443)->endpoints.size(), 1u);
}

TEST(DirectoryImportTest, WhatNoRuleIsAboutCostsNothing) {
  auto file = EastFile();
  file->allow.pop_back();
  const ImportedDirectory imported = Import(WestKeys(), file);
  EXPECT_EQ(imported.snapshot->FindService("shop/web"), nullptr);
  EXPECT_THAT(Refused(imported), IsEmpty());
}

// Both export it for a while: at no moment is there nobody.
TEST(DirectoryImportTest, AServiceMoves) {
  Keys keys = WestKeys();
  keys["admin/clusters/south"] = R"({"gateways":["198.51.100.0/24"]})";
  keys["admin/namespaces/shop"] = R"({"clusters":["south","west"]})";
  keys["clusters/south/gateways/g1"] = R"({"address":"198.51.100.1:15443"})";
  SharedDirectory shared = Shared(keys);
  const auto file = EastFile();
  const auto clusters = [&] {
    const auto imported = ImportDirectory(*file, shared);
    std::vector<std::string> of;
    const mesh::ServicePort* port = PortOf(*imported, "shop/web");
    if (port == nullptr) return of;
    for (const mesh::Endpoint& endpoint : port->endpoints) of.push_back(endpoint.cluster);
    return of;
  };
  EXPECT_THAT(clusters(), ElementsAre("west"));
  shared.Put("clusters/south/services/shop/web",
             Exported("spiffe://td/cluster/south/ns/shop/sa/web"));
  EXPECT_THAT(clusters(), ElementsAre("south", "west"));
  shared.Erase(kWeb);
  EXPECT_THAT(clusters(), ElementsAre("south"));
  shared.Erase("clusters/south/services/shop/web");
  EXPECT_THAT(clusters(), IsEmpty());
}

TEST(DirectoryImportTest, NotReadyIsKnown) {
  Keys keys = WestKeys();
  keys[kWeb] =
      absl::StrReplaceAll(keys[kWeb], {{R"("ready":2,"weight":2)", R"("ready":0,"weight":0)"}});
  const ImportedDirectory imported = Import(keys);
  EXPECT_THAT(Refused(imported), IsEmpty());
  const mesh::Endpoint& endpoint = PortOf(imported, "shop/web")->endpoints.at(0);
  EXPECT_FALSE(endpoint.ready);
  EXPECT_EQ(endpoint.members, 2u);
  EXPECT_EQ(endpoint.ready_members, 0u);
}

TEST(DirectoryImportTest, WhatIsRefusedIsCountedAndNotAllTold) {
  Keys keys = WestKeys();
  for (int i = 0; i < 50; ++i) {
    keys[absl::StrCat("clusters/west/services/payments/s", i)] = Exported(kWestWeb);
  }
  const ImportedDirectory imported = Import(keys);
  const auto& groups = imported.refusals.groups();
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups.begin()->second.count, 50u);
  EXPECT_EQ(groups.begin()->second.told.size(), Refusals::kTold);
  EXPECT_THAT(groups.begin()->second.told[0].what, HasSubstr("'payments'"));
}

}  // namespace
}  // namespace tombolo::source
