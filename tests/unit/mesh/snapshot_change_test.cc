// SPDX-License-Identifier: Apache-2.0
#include "mesh/snapshot_change.h"

#include <functional>
#include <memory>

#include <gtest/gtest.h>

#include "unit/mesh/small_mesh.h"

namespace tombolo::mesh {
namespace {

// What a change of the small mesh, of which the rest is shared, is for west-1, where shop/web is.
SnapshotChange ChangeBy(const std::function<void(Snapshot&)>& change,
                        const std::string& node = "west-1") {
  const auto before = SmallMesh();
  // One that another node serves.
  Service other = before->services[0];
  other.name = "other";
  other.vips = {*net::IpAddress::Parse("10.96.0.99")};
  for (ServicePort& port : other.ports) port.endpoints.clear();
  before->services.push_back(other);
  Snapshot after;
  after.trust_domain = before->trust_domain;
  after.clusters = before->clusters;
  after.workloads = before->workloads;
  after.services = before->services;
  after.allow = before->allow;
  change(after);
  return Compare(*before, after, "west", node);
}

TEST(SnapshotChangeTest, NothingIsNoChange) {
  const SnapshotChange change = ChangeBy([](Snapshot&) {});
  EXPECT_FALSE(change.served);
  EXPECT_FALSE(change.captured);
}

TEST(SnapshotChangeTest, HowManyAreReadyIsNothingToTheKernel) {
  const auto more = [](Snapshot& s) { s.services[0].ports[0].endpoints[0].weight = 7; };
  EXPECT_TRUE(ChangeBy(more).served) << "what is served is another object now";
  EXPECT_FALSE(ChangeBy(more).captured);
  EXPECT_FALSE(ChangeBy(more, "west-2").served);
}

TEST(SnapshotChangeTest, TheKernelKnowsWhereSomethingIsReady) {
  const SnapshotChange change = ChangeBy([](Snapshot& s) {
    for (auto& endpoint : s.services[0].ports[0].endpoints) endpoint.ready = false;
  });
  EXPECT_TRUE(change.captured);
}

TEST(SnapshotChangeTest, TheKernelKnowsAddressesNamesAndRules) {
  const std::vector<std::function<void(Snapshot&)>> changes = {
      [](Snapshot& s) { s.services[1].vips.clear(); },
      [](Snapshot& s) { s.services[1].ports[0].port = 81; },
      [](Snapshot& s) { s.services[1].name = "else"; },
      [](Snapshot& s) { s.allow.pop_back(); },
      [](Snapshot& s) { s.workloads.pop_back(); },
      [](Snapshot& s) { s.imports.emplace(); },
      [](Snapshot& s) { s.trust_domain = "other"; }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const SnapshotChange change = ChangeBy(changes[i]);
    EXPECT_TRUE(change.captured) << i;
    EXPECT_FALSE(change.served) << i;
  }
}

TEST(SnapshotChangeTest, AServiceMoreChangesAll) {
  const SnapshotChange change =
      ChangeBy([](Snapshot& s) { s.services.push_back({.ns = "shop", .name = "new"}); });
  EXPECT_TRUE(change.served);
  EXPECT_TRUE(change.captured);
}

}  // namespace
}  // namespace tombolo::mesh
