// SPDX-License-Identifier: Apache-2.0
// What LoadDirectory() says of mistakes in a file.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "unit/source/directory_example.h"

namespace tombolo::source {
namespace {

using testing::HasSubstr;

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

}  // namespace
}  // namespace tombolo::source
