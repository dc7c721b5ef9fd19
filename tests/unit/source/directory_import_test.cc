// SPDX-License-Identifier: Apache-2.0
#include "source/directory_import.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "unit/source/import_case.h"

namespace tombolo::source {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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
