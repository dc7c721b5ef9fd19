// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "mesh/snapshot.h"

namespace tombolo::mesh {

// Two clusters of one node each; east/curl, a client, and west/web, which serves
// shop/web on 10.96.0.10:80 and :443. Not indexed yet, so that tests can change it.
inline std::shared_ptr<Snapshot> SmallMesh() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->trust_domain = "td";
  snapshot->clusters = {
      {.name = "east", .nodes = {{"east-1", *net::SocketAddress::Parse("172.31.0.1:15008")}}},
      {.name = "west", .nodes = {{"west-1", *net::SocketAddress::Parse("172.31.0.2:15008")}}}};
  const auto workload = [](const char* name, const char* cluster, const char* node,
                           const char* account) {
    return Workload{.name = name,
                    .cluster = cluster,
                    .node = node,
                    .ns = "shop",
                    .service_account = account,
                    .cgroup = "",
                    .netns = "",
                    .id = *SpiffeId::ForWorkload("td", cluster, "shop", account)};
  };
  snapshot->workloads = {workload("east/curl", "east", "east-1", "curl"),
                         workload("west/web", "west", "west-1", "web")};
  const Endpoint endpoint{.workload = "west/web",
                          .cluster = "west",
                          .node = "west-1",
                          .identity = snapshot->workloads[1].id,
                          .address = *net::SocketAddress::Parse("10.0.0.10:8080")};
  snapshot->services = {
      {.ns = "shop",
       .name = "web",
       .vips = {*net::IpAddress::Parse("10.96.0.10")},
       .ports = {{.port = 80, .endpoints = {endpoint}}, {.port = 443, .endpoints = {}}}}};
  snapshot->allow = {
      {.from = "spiffe://td/cluster/east/ns/shop/sa/curl", .service = "shop/web", .ports = {80}}};
  return snapshot;
}

}  // namespace tombolo::mesh
