// SPDX-License-Identifier: Apache-2.0
#include "mesh/snapshot_change.h"

#include <algorithm>

namespace tombolo::mesh {
namespace {

bool ServedAt(const Service& service, const std::string& cluster, const std::string& node) {
  return std::ranges::any_of(service.ports, [&](const ServicePort& port) {
    return std::ranges::any_of(port.endpoints, [&](const Endpoint& endpoint) {
      return endpoint.cluster == cluster && endpoint.node == node;
    });
  });
}

bool AnyReady(const ServicePort& port) {
  return std::ranges::any_of(port.endpoints, &Endpoint::ready);
}

// Whether the kernel is told the same about both.
bool LooksTheSame(const Service& a, const Service& b) {
  return a.ns == b.ns && a.name == b.name && a.vips == b.vips &&
         std::ranges::equal(a.ports, b.ports, [](const auto& x, const auto& y) {
           return x.port == y.port && AnyReady(x) == AnyReady(y);
         });
}

}  // namespace

SnapshotChange Compare(const Snapshot& before, const Snapshot& after, const std::string& cluster,
                       const std::string& node) {
  SnapshotChange change;
  if (before.services.size() != after.services.size()) return change;
  change.served = false;
  change.captured = before.trust_domain != after.trust_domain || before.imports != after.imports ||
                    before.workloads != after.workloads || before.allow != after.allow;
  for (std::size_t i = 0; i < after.services.size(); ++i) {
    if (after.services.Shares(i, before.services)) continue;
    const Service &was = before.services[i], &is = after.services[i];
    change.captured = change.captured || !LooksTheSame(was, is);
    change.served = change.served || ServedAt(was, cluster, node) || ServedAt(is, cluster, node);
  }
  return change;
}

}  // namespace tombolo::mesh
