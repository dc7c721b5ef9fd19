// SPDX-License-Identifier: Apache-2.0
#include "source/directory_file.h"

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "source/values.h"
#include "unit/source/temp_dir.h"

namespace tombolo::source {
namespace {

using testing::HasSubstr;

// The example of docs/configuration.md.
constexpr char kExample[] = R"(trust_domain: tombolo.example
clusters:
  - name: east
    nodes:
      - name: east-1
        tunnel: 172.31.0.1:15008
  - name: west
    nodes:
      - name: west-1
        tunnel: 172.31.0.2:15008
workloads:
  - name: east/curl
    cluster: east
    node: east-1
    namespace: shop
    service_account: curl
    cgroup: /tombolo-quickstart/east/curl
    netns: /run/netns/tq-east-curl
  - name: west/web
    cluster: west
    node: west-1
    namespace: shop
    service_account: web
    cgroup: /tombolo-quickstart/west/web
    netns: /run/netns/tq-west-web
services:
  - name: shop/web
    vips: [10.96.0.10, "fd00:96::10"]
    ports:
      - port: 80
        endpoints:
          - workload: west/web
            address: 10.0.0.10:8080
            ready: true
            weight: 1
allow:
  - from: spiffe://tombolo.example/cluster/east/ns/shop/sa/curl
    to: shop/web
    ports: [80]
)";

absl::StatusOr<std::shared_ptr<mesh::Snapshot>> Load(absl::string_view text) {
  const TempDir dir;
  return LoadDirectory(dir.Write("directory.yaml", text));
}

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

// The example with one thing replaced, and the one error that follows.
struct Mistake {
  const char* name;
  const char* from;
  const char* to;
  const char* error;
};

class DirectoryMistake : public testing::TestWithParam<Mistake> {};

TEST_P(DirectoryMistake, IsReportedWithItsLine) {
  const std::string text = absl::StrReplaceAll(kExample, {{GetParam().from, GetParam().to}});
  ASSERT_NE(text, kExample);
  const auto loaded = Load(text);
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(loaded.status().message()),
              HasSubstr(absl::StrCat("directory.yaml:", GetParam().error)));
}

INSTANTIATE_TEST_SUITE_P(
    Example, DirectoryMistake,
    testing::Values(
        Mistake{"trust_domain", "trust_domain: tombolo.example", "trust_domain: Tombolo/x",
                "1: trust_domain: 'Tombolo/x' is not a trust domain"},
        Mistake{"cluster_twice", "- name: west\n", "- name: east\n",
                "7: clusters[1].name: 'east' is there twice, first on line 3"},
        Mistake{"cluster_name", "- name: west\n", "- name: West\n", "7: clusters[1].name: 'West'"},
        Mistake{"node_twice", "172.31.0.1:15008",
                "172.31.0.1:1\n      - {name: east-1, tunnel: 1.1.1.1:1}",
                "7: clusters[0].nodes[1].name: 'east-1' is there twice, first on line 5"},
        Mistake{"tunnel", "172.31.0.1:15008", "172.31.0.1",
                "6: clusters[0].nodes[0].tunnel: '172.31.0.1'"},
        Mistake{"tunnel_any", "172.31.0.1:15008", "0.0.0.0:15008",
                "6: clusters[0].nodes[0].tunnel"},
        Mistake{"gateway_twice", "- name: west\n",
                "- name: west\n    gateways: [{name: g, address: 192.0.2.1:1}, {name: g, address: "
                "192.0.2.1:2}]\n",
                "8: clusters[1].gateways[1].name: 'g' is there twice, first on line 8"},
        Mistake{"gateway_address_twice", "- name: west\n",
                "- name: west\n    gateways: [{name: g, address: 192.0.2.1:1}, {name: h, address: "
                "192.0.2.1:1}]\n",
                "8: clusters[1].gateways[1].address: '192.0.2.1:1' is there twice"},
        Mistake{"workload_twice", "name: west/web", "name: east/curl",
                "19: workloads[1].name: 'east/curl' is there twice, first on line 12"},
        Mistake{"workload_name", "name: west/web", "name: 'west web'", "19: workloads[1].name"},
        Mistake{
            "unknown_cluster", "cluster: west", "cluster: wets",
            "20: workloads[1].cluster: 'wets' is not a cluster of this file; did you mean 'west'?"},
        Mistake{"unknown_node", "node: west-1", "node: east-1",
                "21: workloads[1].node: 'east-1' is not a node of cluster 'west'"},
        Mistake{"namespace", "namespace: shop", "namespace: a/b",
                "15: workloads[0].namespace: 'a/b'"},
        Mistake{"service_account", "service_account: web", "service_account: Web",
                "23: workloads[1].service_account: 'Web'"},
        Mistake{"cgroup", "cgroup: /tombolo-quickstart/west/web", "cgroup: /a/../b",
                "24: workloads[1].cgroup: '/a/../b'"},
        Mistake{"netns", "netns: /run/netns/tq-west-web", "netns: tq",
                "25: workloads[1].netns: 'tq'"},
        Mistake{"cgroup_shared",
                "cluster: west\n    node: west-1\n    namespace: shop\n    service_account: web\n"
                "    cgroup: /tombolo-quickstart/west/web",
                "cluster: east\n    node: east-1\n    namespace: shop\n    service_account: web\n"
                "    cgroup: /tombolo-quickstart/east/curl",
                "24: workloads[1].cgroup: '/tombolo-quickstart/east/curl' is another workload's of "
                "the same node, on line 17"},
        Mistake{"service_name", "name: shop/web", "name: web", "27: services[0].name: 'web'"},
        Mistake{"service_label", "name: shop/web", "name: Shop/web",
                "27: services[0].name: 'Shop/web'"},
        Mistake{"service_twice", "allow:", "  - {name: shop/web}\nallow:",
                "36: services[1].name: 'shop/web' is there twice, first on line 27"},
        Mistake{"vip_twice",
                "allow:", "  - {name: shop/two, vips: [10.96.0.10], ports: [{port: 80}]}\nallow:",
                "36: services[1].vips[0]: '10.96.0.10' with port 80 is a VIP of service "
                "'shop/web' already"},
        Mistake{"vip_twice_here", "vips: [10.96.0.10,", "vips: [10.96.0.10, 10.96.0.10,",
                "28: services[0].vips[1]: '10.96.0.10'"},
        Mistake{"vip_loopback", "10.96.0.10", "127.0.0.9",
                "28: services[0].vips[0]: '127.0.0.9' is a loopback"},
        Mistake{"vip_loopback6", "fd00:96::10", "::1",
                "28: services[0].vips[1]: '::1' is a loopback"},
        Mistake{"vip_any", "10.96.0.10", "0.0.0.0",
                "28: services[0].vips[0]: '0.0.0.0' is the unspecified"},
        Mistake{"vip_multicast", "10.96.0.10", "239.1.1.1",
                "28: services[0].vips[0]: '239.1.1.1' is a multicast"},
        Mistake{"vip_multicast6", "fd00:96::10", "ff02::1",
                "28: services[0].vips[1]: 'ff02::1' is a multicast"},
        Mistake{"port", "- port: 80", "- port: 70000",
                "30: services[0].ports[0].port: '70000' is not a port (1 to 65535)"},
        Mistake{"port_twice", "allow:", "      - port: 80\nallow:",
                "36: services[0].ports[1].port: '80' is there twice"},
        Mistake{
            "endpoint_workload", "- workload: west/web", "- workload: west/wep",
            "32: services[0].ports[0].endpoints[0].workload: 'west/wep' is not a workload of this "
            "file; did you mean 'west/web'?"},
        Mistake{"endpoint_address", "10.0.0.10:8080", "10.0.0.10",
                "33: services[0].ports[0].endpoints[0].address: '10.0.0.10' is not an address and "
                "port"},
        Mistake{"endpoint_any", "10.0.0.10:8080", "0.0.0.0:8080",
                "33: services[0].ports[0].endpoints[0].address: '0.0.0.0:8080'"},
        Mistake{"endpoint_twice",
                "allow:", "          - {workload: west/web, address: 10.0.0.10:8080}\nallow:",
                "36: services[0].ports[0].endpoints[1].address: '10.0.0.10:8080' of workload "
                "'west/web'"},
        Mistake{"ready", "ready: true", "ready: yes",
                "34: services[0].ports[0].endpoints[0].ready: 'yes' is not true or false"},
        Mistake{"weight", "weight: 1", "weight: 0",
                "35: services[0].ports[0].endpoints[0].weight: '0'"},
        Mistake{"from_other", "from: spiffe://tombolo.example/", "from: spiffe://other.example/",
                "37: allow[0].from: 'spiffe://other.example/cluster/east/ns/shop/sa/curl' is "
                "neither of the trust domain 'tombolo.example' nor of one in federates_with"},
        Mistake{"federates_bad", "clusters:", "federates_with: [Other]\nclusters:",
                "2: federates_with[0]: 'Other' is not a trust domain"},
        Mistake{"from_bad", "from: spiffe://tombolo.example/cluster/east", "from: east",
                "37: allow[0].from"},
        Mistake{"from_star", "sa/curl\n    to", "sa/c*\n    to", "37: allow[0].from"},
        Mistake{"from_all", "from: spiffe://tombolo.example/cluster/east/ns/shop/sa/curl",
                "from: '*'", "37: allow[0].from: SPIFFE ID '*'"},
        Mistake{"from_domain", "from: spiffe://tombolo.example/cluster/east/ns/shop/sa/curl",
                "from: spiffe://tombolo.example", "37: allow[0].from"},
        Mistake{
            "to", "to: shop/web", "to: shop/wbe",
            "38: allow[0].to: 'shop/wbe' is not a service of this file; did you mean 'shop/web'?"},
        Mistake{"rule_port", "ports: [80]", "ports: [80, 81]",
                "39: allow[0].ports[1]: '81' is not a port of service 'shop/web'"},
        Mistake{"rule_ports_empty", "ports: [80]", "ports: []",
                "39: allow[0].ports: has no valid port"},
        Mistake{"rule_ports_null", "ports: [80]",
                "ports:", "39: allow[0].ports: has no valid port"},
        Mistake{"unknown_key", "    to: shop/web\n", "    to: shop/web\n    protocol: tcp\n",
                "39: allow[0].protocol: is not a known key"},
        Mistake{"unknown_section", "allow:\n", "alow:\n",
                "36: alow: is not a known key; did you mean 'allow'?"},
        Mistake{"not_a_list", "clusters:\n", "clusters: {}\nx:\n",
                "2: clusters: must be a list, not a map"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(DirectoryFileTest, CollectsErrorsOfEverySection) {
  const auto loaded = Load(absl::StrReplaceAll(
      kExample,
      {{"node: east-1", "node: east-2"}, {"- port: 80", "- port: 0"}, {"to: shop/web", "to: x"}}));
  const std::string message(loaded.status().message());
  EXPECT_THAT(message, HasSubstr(":14: workloads[0].node"));
  EXPECT_THAT(message, HasSubstr(":30: services[0].ports[0].port"));
  EXPECT_THAT(message, HasSubstr(":38: allow[0].to"));
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
