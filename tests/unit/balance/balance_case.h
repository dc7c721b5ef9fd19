// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "balance/balancer.h"
#include "mesh/snapshot.h"

namespace tombolo::balance {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Endpoint `number` of the cluster, on its node "<cluster>-<number % 4>".
inline mesh::Endpoint MakeEndpoint(int number, const std::string& cluster,
                                   std::uint32_t weight = 1) {
  return {.workload = absl::StrCat(cluster, "/web-", number),
          .cluster = cluster,
          .node = absl::StrCat(cluster, "-", number % 4),
          .identity = *SpiffeId::ForWorkload("td", cluster, "shop", "web"),
          .address = {.ip = *net::IpAddress::Parse(
                          absl::StrCat("10.0.", number / 250, ".", number % 250 + 1)),
                      .port = 8080},
          .weight = weight};
}

// All endpoints of a cluster behind gateways.
inline mesh::Endpoint Behind(const std::string& cluster, std::uint32_t members = 1,
                             std::uint32_t ready = ~0u) {
  ready = std::min(ready, members);
  return {.workload = "",
          .cluster = cluster,
          .node = "",
          .identity = *SpiffeId::ForWorkload("td", cluster, "shop", "web"),
          .address = {},
          .ready = ready > 0,
          .weight = ready,
          .members = members,
          .ready_members = ready};
}

// A balancer on node east-0 with a seeded random and a clock that stands still, and
// shop/web:80. Clusters are numbered by the order of their names in kClusters; node i of
// cluster c has the address 172.31.<c>.<i + 1>:15008, gateway i 203.0.<c>.<i + 1>:15443.
class BalanceCase : public testing::Test {
 protected:
  static constexpr const char* kClusters[] = {"east", "west", "south", "north"};
  static constexpr char kService[] = "shop/web";

  static net::SocketAddress NodeAddress(int cluster, int node) {
    return *net::SocketAddress::Parse(absl::StrCat("172.31.", cluster, ".", node + 1, ":15008"));
  }
  static net::SocketAddress GatewayAddress(int cluster, int gateway) {
    return *net::SocketAddress::Parse(absl::StrCat("203.0.", cluster, ".", gateway + 1, ":15443"));
  }

  // Changed before Use(): what the next snapshot says.
  std::vector<mesh::Cluster> clusters_ = MakeClusters();
  mesh::LoadBalancing balancing_;

  static std::vector<mesh::Cluster> MakeClusters() {
    std::vector<mesh::Cluster> clusters;
    for (int c = 0; c < 4; ++c) {
      mesh::Cluster cluster{.name = kClusters[c]};
      for (int n = 0; n < 4; ++n) {
        cluster.nodes.push_back({absl::StrCat(kClusters[c], "-", n), NodeAddress(c, n)});
      }
      clusters.push_back(std::move(cluster));
    }
    return clusters;
  }
  void AddGateways(int cluster, int count) {
    for (int i = 0; i < count; ++i) {
      clusters_[cluster].gateways.push_back({absl::StrCat("gw-", i), GatewayAddress(cluster, i)});
    }
  }

  // Makes a snapshot of `endpoints` behind shop/web:80 the balancer's.
  void Use(std::vector<mesh::Endpoint> endpoints) {
    auto snapshot = std::make_shared<mesh::Snapshot>();
    snapshot->trust_domain = "td";
    snapshot->clusters = clusters_;
    for (const mesh::Endpoint& endpoint : endpoints) {
      if (endpoint.behind_gateways()) continue;
      snapshot->workloads.push_back({.name = endpoint.workload,
                                     .cluster = endpoint.cluster,
                                     .node = endpoint.node,
                                     .ns = "shop",
                                     .service_account = "web",
                                     .cgroup = "",
                                     .netns = "",
                                     .id = endpoint.identity});
    }
    snapshot->services = {{.ns = "shop",
                           .name = "web",
                           .vips = {*net::IpAddress::Parse("10.96.0.10")},
                           .ports = {{.port = 80, .endpoints = std::move(endpoints)}},
                           .balancing = balancing_}};
    ASSERT_TRUE(snapshot->Index().ok()) << snapshot->Index();
    snapshot_ = std::move(snapshot);
    balancer_.SetSnapshot(snapshot_, now_);
  }

  const std::vector<mesh::Endpoint>& endpoints() const {
    return snapshot_->services[0].ports[0].endpoints;
  }
  Wanted Want(const char* client = "10.0.9.9") const {
    const mesh::Service& service = snapshot_->services[0];
    return {snapshot_.get(), {&service, &service.ports[0]}, *net::IpAddress::Parse(client)};
  }
  std::optional<Choice> Pick(const std::vector<Tried>& tried = {}) {
    return balancer_.Pick(Want(), tried, now_);
  }
  // Of the endpoint; -1: none.
  int PickOne(const std::vector<std::size_t>& tried = {}) {
    std::vector<Tried> all;
    for (const std::size_t endpoint : tried)
      all.push_back({{.endpoint = endpoint}, Failure::kEndpoint});
    const std::optional<Choice> choice = Pick(all);
    return choice ? static_cast<int>(choice->endpoint) : -1;
  }
  Balancer::Attempt Begin(std::size_t endpoint, std::optional<std::size_t> gateway = {}) {
    return balancer_.Begin(Want(), {.endpoint = endpoint, .gateway = gateway}, now_);
  }
  EndpointView View(std::size_t endpoint) const {
    return balancer_.View(kService, 80, endpoints()[endpoint], now_);
  }
  // One attempt after another, so that each counts.
  void Fail(std::size_t endpoint, int times, Failure what = Failure::kEndpoint,
            std::optional<std::size_t> gateway = {}) {
    for (int i = 0; i < times; ++i) {
      now_ += milliseconds(1);
      Begin(endpoint, gateway).OnFailure(what, now_);
    }
  }
  void Succeed(std::size_t endpoint, Duration latency = milliseconds(1),
               std::optional<std::size_t> gateway = {}) {
    Begin(endpoint, gateway).OnConnected(latency, now_);
  }
  std::map<std::size_t, int> Histogram(int picks) {
    std::map<std::size_t, int> counts;
    for (int i = 0; i < picks; ++i) ++counts[Pick()->endpoint];
    return counts;
  }

  std::mt19937_64 engine_{42};
  Balancer balancer_{Place{"east", "east-0"}, [this] { return engine_(); }};
  MonotonicTime now_{std::chrono::hours(1)};
  mesh::SnapshotPtr snapshot_;
};

}  // namespace tombolo::balance
