// SPDX-License-Identifier: Apache-2.0
#include "source/directory_file.h"

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "source/values.h"
#include "unit/source/directory_example.h"
#include "unit/source/temp_dir.h"

namespace tombolo::source {
namespace {

using testing::HasSubstr;

TEST(DirectoryFileTest, RulesMayBeAboutFederatedTrustDomains) {
  const std::string rule = "from: spiffe://tombolo.example/cluster/east/ns/shop/sa/curl";
  const std::string text =
      absl::StrReplaceAll(kExample, {{rule, "from: spiffe://spire.example/ns/shop/*"},
                                     {"clusters:", "federates_with: [spire.example]\nclusters:"}});
  const auto loaded = Load(text);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->allow.at(0).from, "spiffe://spire.example/ns/shop/*");
}

TEST(DirectoryFileTest, LoadsTheDocumentedExample) {
  const auto loaded = Load(kExample);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const mesh::Snapshot& snapshot = **loaded;
  EXPECT_EQ(snapshot.trust_domain, "tombolo.example");
  EXPECT_EQ(snapshot.FindNode("west", "west-1")->tunnel_address.ToString(), "172.31.0.2:15008");
  const mesh::Workload* curl = snapshot.FindWorkload("east/curl");
  ASSERT_NE(curl, nullptr);
  EXPECT_EQ(curl->id.text(), "spiffe://tombolo.example/cluster/east/ns/shop/sa/curl");
  EXPECT_EQ(curl->cgroup, "/tombolo-quickstart/east/curl");
  EXPECT_EQ(curl->netns, "/run/netns/tq-east-curl");
  const mesh::ServiceRef web = snapshot.FindVip(*net::SocketAddress::Parse("[fd00:96::10]:80"));
  ASSERT_NE(web.port, nullptr);
  EXPECT_EQ(web.service->FullName(), "shop/web");
  const mesh::Endpoint& endpoint = web.port->endpoints.at(0);
  EXPECT_EQ(endpoint.cluster, "west");
  EXPECT_EQ(endpoint.node, "west-1");
  EXPECT_EQ(endpoint.identity.text(), "spiffe://tombolo.example/cluster/west/ns/shop/sa/web");
  EXPECT_EQ(endpoint.address.ToString(), "10.0.0.10:8080");
  EXPECT_TRUE(endpoint.ready);
  EXPECT_EQ(endpoint.weight, 1u);
  ASSERT_EQ(snapshot.allow.size(), 1u);
  EXPECT_TRUE(snapshot.allow[0].Matches(curl->id));
}

TEST(DirectoryFileTest, OptionalKeysMayBeLeftOut) {
  const auto loaded = Load(absl::StrReplaceAll(
      kExample, {{"    cgroup: /tombolo-quickstart/west/web\n", ""},
                 {"    netns: /run/netns/tq-west-web\n", ""},
                 {"            ready: true\n            weight: 1\n", ""},
                 {"    ports: [80]\n", ""},
                 {"10.0.0.10:8080", "127.0.0.1:8080"},  // of the workload's namespace
                 {"from: spiffe://tombolo.example/cluster/east/ns/shop/sa/curl",
                  "from: spiffe://tombolo.example/*"}}));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->FindWorkload("west/web")->cgroup, "");
  EXPECT_TRUE((*loaded)->allow[0].ports.empty());
  EXPECT_TRUE(Load("trust_domain: td\n").ok());
}

absl::StatusOr<std::shared_ptr<mesh::Snapshot>> LoadDraining(const std::string& draining) {
  return Load(absl::StrReplaceAll(
      kExample,
      {{"  - name: west\n", absl::StrCat("  - name: west\n    draining: ", draining, "\n")}}));
}

TEST(DirectoryFileTest, ADrainMayHaveADeadline) {
  const auto with = LoadDraining("{deadline: 2026-01-31T12:00:00Z}");
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_TRUE((*with)->FindCluster("west")->draining);
  EXPECT_EQ((*with)->FindCluster("west")->drain_deadline, *ParseTime("2026-01-31T12:00:00Z"));
  const auto without = LoadDraining("true");
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_TRUE((*without)->FindCluster("west")->draining);
  EXPECT_FALSE((*without)->FindCluster("west")->drain_deadline.has_value());
  EXPECT_FALSE(LoadDraining("false").value()->FindCluster("west")->draining);
  for (const char* wrong : {"{deadline: soon}", "{}", "{until: 2026-01-31T12:00:00Z}", "maybe",
                            "[]", "{deadline: 2026-01-31T12:00:00Z, more: 1}"}) {
    const auto loaded = LoadDraining(wrong);
    EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("clusters[1].draining")) << wrong;
  }
}

TEST(DirectoryFileTest, APortMaySpeakTheProxyProtocol) {
  const auto load = [](const std::string& version) {
    return Load(absl::StrReplaceAll(
        kExample, {{"      - port: 80\n",
                    absl::StrCat("      - port: 80\n        proxy_protocol: ", version, "\n")}}));
  };
  EXPECT_FALSE(Load(kExample).value()->services[0].ports[0].proxy_protocol);
  EXPECT_TRUE(load("v2").value()->services[0].ports[0].proxy_protocol);
  EXPECT_FALSE(load("none").value()->services[0].ports[0].proxy_protocol);
  EXPECT_THAT(std::string(load("v1").status().message()),
              HasSubstr("services[0].ports[0].proxy_protocol: 'v1' is neither none nor v2"));
}

constexpr char kGateways[] = R"(  - name: west
    region: eu-west
    draining: true
    gateways:
      - name: west-gw-1
        address: 203.0.113.10:15443
        zone: eu-west-1a
      - name: west-gw-2
        address: "[2001:db8::2]:15443"
)";

TEST(DirectoryFileTest, AClusterMayBeBehindGateways) {
  const TempDir dir;
  const std::string path = dir.Write(
      "directory.yaml",
      absl::StrReplaceAll(kExample, {{"  - name: west\n", kGateways},
                                     {"172.31.0.2:15008", "172.31.0.2:15008\n        zone: a"}}));
  const auto whole = LoadDirectory(path);
  ASSERT_TRUE(whole.ok()) << whole.status();
  const mesh::Cluster* west = (*whole)->FindCluster("west");
  ASSERT_NE(west, nullptr);
  EXPECT_EQ(west->region, "eu-west");
  EXPECT_TRUE(west->draining);
  EXPECT_EQ(west->nodes.at(0).zone, "a");
  ASSERT_EQ(west->gateways.size(), 2u);
  EXPECT_EQ(west->gateways[0].name, "west-gw-1");
  EXPECT_EQ(west->gateways[0].zone, "eu-west-1a");
  EXPECT_EQ(west->gateways[1].address.ToString(), "[2001:db8::2]:15443");
  EXPECT_FALSE((*whole)->services[0].ports[0].endpoints[0].behind_gateways());
  const auto seen = LoadDirectory(path, "east");
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_TRUE((*seen)->services[0].ports[0].endpoints[0].behind_gateways());
}

TEST(DirectoryFileTest, AGatewayMayBeReachedViaAnotherCluster) {
  const TempDir dir;
  const auto load = [&](const char* via) {
    const std::string west =
        absl::StrCat("  - name: west\n    gateways: [{name: gw, via: ", via, "}]\n");
    return LoadDirectory(
        dir.Write("directory.yaml", absl::StrReplaceAll(kExample, {{"  - name: west\n", west}})));
  };
  const auto linked = load("east");
  ASSERT_TRUE(linked.ok()) << linked.status();
  EXPECT_EQ((*linked)->FindCluster("west")->gateways.at(0).via, "east");
  EXPECT_THAT(std::string(load("north").status().message()),
              AllOf(HasSubstr("directory.yaml"), HasSubstr("'west/gw' is reached via 'north'")));
}

TEST(DirectoryFileTest, NestedCgroupsAreAllowed) {
  EXPECT_TRUE(Load(absl::StrReplaceAll(
                       kExample,
                       {{"cluster: west\n    node: west-1", "cluster: east\n    node: east-1"},
                        {"/tombolo-quickstart/west/web", "/tombolo-quickstart/east/curl/nested"}}))
                  .ok());
}

TEST(DirectoryFileTest, LoadsTenThousandEndpoints) {
  std::string text = absl::StrReplaceAll(kExample, {{"ports: [80]", "ports: [80]"}});
  std::string endpoints;
  for (int i = 0; i < 10'000; ++i) {
    absl::StrAppend(&endpoints, "          - {workload: west/web, address: \"10.1.", i / 250, ".",
                    i % 250 + 1, ":8080\"}\n");
  }
  const auto loaded = Load(absl::StrReplaceAll(text, {{"allow:\n", endpoints + "allow:\n"}}));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->services[0].ports[0].endpoints.size(), 10'001u);
}

TEST(DirectoryFileTest, WithImportsOthersMayHaveWhatTheFileDoesNot) {
  const std::string text = absl::StrReplaceAll(
      kExample,
      {{"clusters:\n  - name: east",
        "imports:\n  vips: [10.112.0.0/16, \"fd00:112::/64\"]\n"
        "clusters:\n  - name: east"},
       {"    ports:\n      - port: 80\n        endpoints:",
        "    export: true\n    balancing: {tiers: [{clusters: [east]}, {clusters: [south]}]}\n"
        "    ports:\n      - port: 80\n        endpoints:"},
       {"    to: shop/web\n    ports: [80]\n", "    to: payments/api\n    ports: [443]\n"}});
  const auto loaded = Load(text);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const mesh::Snapshot& snapshot = **loaded;
  ASSERT_TRUE(snapshot.imports.has_value());
  EXPECT_EQ(snapshot.imports->vips.size(), 2u);
  EXPECT_TRUE(snapshot.FindService("shop/web")->exported);
  EXPECT_EQ(snapshot.allow.at(0).service, "payments/api");

  const auto without = Load(
      absl::StrReplaceAll(text, {{"imports:\n  vips: [10.112.0.0/16, \"fd00:112::/64\"]\n", ""}}));
  EXPECT_THAT(std::string(without.status().message()),
              testing::AllOf(HasSubstr("'payments/api' is not a service of this file"),
                             HasSubstr("'south' is not a cluster of this file")));
  EXPECT_FALSE(Load(kExample).value()->FindService("shop/web")->exported);
}

TEST(DirectoryFileTest, RangesForVipsAreRanges) {
  for (const char* bad :
       {"10.112.0.1/16", "10.112.0.0", "0.0.0.0/0", "127.0.0.0/8", "224.0.0.0/4"}) {
    const auto loaded = Load(absl::StrCat("trust_domain: td\nimports: {vips: [", bad, "]}\n"));
    EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("imports.vips[0]")) << bad;
  }
  EXPECT_THAT(std::string(Load("trust_domain: td\nimports: {vip: []}\n").status().message()),
              HasSubstr("did you mean 'vips'"));
  EXPECT_THAT(
      std::string(Load("trust_domain: td\nimports: {}\nallow: [{from: spiffe://td/*, to: web}]\n")
                      .status()
                      .message()),
      HasSubstr("'web' is not of the form namespace/name"));
}

}  // namespace
}  // namespace tombolo::source
