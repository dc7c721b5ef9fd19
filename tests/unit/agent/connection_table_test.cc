// SPDX-License-Identifier: Apache-2.0
#include "agent/connection_table.h"

#include <memory>

#include <gtest/gtest.h>

#include "testing/test_pki.h"
#include "unit/mesh/small_mesh.h"
#include "unit/source/temp_dir.h"

namespace tombolo::agent {
namespace {

// East's curl has a connection to west's web.
class StillAllowedTest : public ::testing::Test {
 protected:
  StillAllowedTest() {
    dir_.Write("bundle.pem", pki_.bundle());
    connection_.source = snapshot_->workloads[0].id;
    connection_.server = snapshot_->workloads[1].id;
    connection_.service = "shop/web";
    connection_.port = 80;
    snapshot_->imports = mesh::Imports{};  // as with a directory in etcd
  }

  World Now() {
    EXPECT_TRUE(snapshot_->Index().ok());
    World world;
    world.snapshot = snapshot_;
    world.identities =
        identity::Store::Load({.svids = dir_.Path(""), .bundle = dir_.Path("bundle.pem")},
                              *snapshot_, "east", "east-1", nullptr);
    return world;
  }
  bool GoesOn() { return StillAllowed(Now(), connection_).ok(); }

  source::TempDir dir_;
  testing::TestPki pki_{"td"};
  const std::shared_ptr<mesh::Snapshot> snapshot_ = mesh::SmallMesh();
  Connection connection_;
};

TEST_F(StillAllowedTest, AsItBegan) {
  EXPECT_TRUE(GoesOn());
  EXPECT_TRUE(MayCarryNew(Now(), connection_));
}

TEST_F(StillAllowedTest, AServerThatIsNoLongerListedKeepsWhatItHas) {
  snapshot_->services[0].ports[0].endpoints.clear();
  EXPECT_TRUE(GoesOn());
  EXPECT_FALSE(MayCarryNew(Now(), connection_));
}

TEST_F(StillAllowedTest, AServiceBetweenTwoClustersEndsNothing) {
  snapshot_->services.clear();
  EXPECT_TRUE(GoesOn());
  EXPECT_FALSE(MayCarryNew(Now(), connection_));
}

TEST_F(StillAllowedTest, WithoutItsRuleItEnds) {
  snapshot_->allow.clear();
  EXPECT_FALSE(GoesOn());
}

TEST_F(StillAllowedTest, AClusterThatIsNoMemberServesNobody) {
  snapshot_->services.clear();
  snapshot_->workloads.pop_back();
  snapshot_->clusters.pop_back();
  EXPECT_FALSE(GoesOn());
}

TEST_F(StillAllowedTest, BothNamespacesHaveToBeGranted) {
  mesh::Cluster& server = snapshot_->clusters[1];
  server.grants = {{"shop", {server.name}}};
  EXPECT_TRUE(GoesOn());
  server.grants = {{"payments", {server.name}}, {"shop", {"another"}}};
  EXPECT_FALSE(GoesOn());
  connection_.service = "payments/api";
  snapshot_->allow[0].service = "payments/api";
  EXPECT_FALSE(GoesOn());
  server.grants = {{"payments", {server.name}}, {"shop", {"another", server.name}}};
  EXPECT_TRUE(GoesOn());
}

TEST_F(StillAllowedTest, OnlyWorkloadsServe) {
  connection_.server = *SpiffeId::Parse("spiffe://td/cluster/west/node/west-1");
  EXPECT_FALSE(GoesOn());
}

}  // namespace
}  // namespace tombolo::agent
