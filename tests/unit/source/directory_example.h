// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "mesh/snapshot.h"
#include "source/directory_file.h"
#include "unit/source/temp_dir.h"

namespace tombolo::source {

// The example of docs/configuration.md.
inline constexpr char kExample[] = R"(trust_domain: tombolo.example
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

inline absl::StatusOr<std::shared_ptr<mesh::Snapshot>> Load(absl::string_view text) {
  const TempDir dir;
  return LoadDirectory(dir.Write("directory.yaml", text));
}

}  // namespace tombolo::source
