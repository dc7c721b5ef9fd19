// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "absl/strings/string_view.h"
#include "mesh/snapshot.h"
#include "source/directory_import.h"
#include "source/shared_directory.h"

namespace tombolo::source {

using Keys = std::map<std::string, std::string>;  // of etcd, below the prefix

// East's own file: east/curl, shop/local (10.96.0.1, port 80) behind the workload east/local,
// and rules for it and for shop/web, which only others have. Not indexed yet.
inline std::shared_ptr<mesh::Snapshot> EastFile() {
  auto file = std::make_shared<mesh::Snapshot>();
  file->trust_domain = "td";
  file->imports = mesh::Imports{{*net::Prefix::Parse("10.112.0.0/24")}};
  file->clusters = {{.name = "east",
                     .nodes = {{"east-1", *net::SocketAddress::Parse("172.31.0.1:15008")}},
                     .region = "eu-east"}};
  for (const std::string account : {"curl", "local"}) {
    file->workloads.push_back({.name = "east/" + account,
                               .cluster = "east",
                               .node = "east-1",
                               .ns = "shop",
                               .service_account = account,
                               .cgroup = "",
                               .netns = "",
                               .id = *SpiffeId::ForWorkload("td", "east", "shop", account)});
  }
  file->services = {
      {.ns = "shop",
       .name = "local",
       .vips = {*net::IpAddress::Parse("10.96.0.1")},
       .ports = {{.port = 80,
                  .endpoints = {{.workload = "east/local",
                                 .cluster = "east",
                                 .node = "east-1",
                                 .identity = file->workloads[1].id,
                                 .address = *net::SocketAddress::Parse("10.0.0.1:8080")}}}}}};
  for (const char* service : {"shop/local", "shop/web"}) {
    file->allow.push_back(
        {.from = "spiffe://td/cluster/east/ns/shop/sa/curl", .service = service, .ports = {80}});
  }
  return file;
}

// A service with one port and one identity, of which all endpoints are ready.
inline std::string Exported(absl::string_view identity, int port = 80, int endpoints = 2) {
  return absl::StrCat(R"({"ports":[{"port":)", port, R"(,"backends":[{"identity":")", identity,
                      R"(","endpoints":)", endpoints, R"(,"ready":)", endpoints, R"(,"weight":)",
                      endpoints, "}]}]}");
}

inline constexpr char kWestWeb[] = "spiffe://td/cluster/west/ns/shop/sa/web";

// West serves shop/web, through one gateway; everything is as it should be.
inline Keys WestKeys() {
  return {{"admin/clusters/east", R"({"gateways":["192.0.2.0/24"]})"},
          {"admin/clusters/west", R"({"gateways":["203.0.113.0/24"]})"},
          {"admin/namespaces/shop", R"({"clusters":["east","west"]})"},
          {"clusters/west/cluster", R"({"region":"eu-west"})"},
          {"clusters/west/gateways/g1", R"({"address":"203.0.113.10:15443","zone":"a"})"},
          {"clusters/west/services/shop/web", Exported(kWestWeb)},
          {"clusters/east/vips/shop/web", R"({"vips":["10.112.0.7"]})"}};
}

inline SharedDirectory Shared(const Keys& keys, const std::string& own = "east") {
  SharedDirectory shared(own);
  for (const auto& [key, value] : keys) shared.Put(key, value);
  return shared;
}

inline ImportedDirectory Import(const Keys& keys,
                                const std::shared_ptr<mesh::Snapshot>& file = EastFile()) {
  auto imported = ImportDirectory(*file, Shared(keys));
  EXPECT_TRUE(imported.ok()) << imported.status();
  return imported.ok() ? *std::move(imported) : ImportedDirectory{};
}

}  // namespace tombolo::source
