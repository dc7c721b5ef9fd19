// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster_drain.h"

#include <chrono>

#include <gtest/gtest.h>

#include "unit/mesh/small_mesh.h"

namespace tombolo::agent {
namespace {

using std::chrono::seconds;

const WallTime kDeadline{seconds(1'800'000'000)};
const MonotonicTime kNow{seconds(5000)};

TEST(ClusterDrainTest, ADeadlineHasPassedOnlyOfWhatDrains) {
  const auto snapshot = mesh::SmallMesh();
  mesh::Cluster& west = snapshot->clusters[1];
  EXPECT_TRUE(PastDeadlines(*snapshot, kDeadline, kNow).empty());
  west.draining = true;
  EXPECT_TRUE(PastDeadlines(*snapshot, kDeadline, kNow).empty()) << "it has none";
  west.drain_deadline = kDeadline;
  EXPECT_TRUE(PastDeadlines(*snapshot, kDeadline - seconds(1), kNow).empty());
  const auto past = PastDeadlines(*snapshot, kDeadline + seconds(7), kNow);
  ASSERT_EQ(past.size(), 1u);
  EXPECT_EQ(past[0].cluster, "west");
  EXPECT_EQ(past[0].passed, kNow - seconds(7));
  west.draining = false;
  EXPECT_TRUE(PastDeadlines(*snapshot, kDeadline + seconds(7), kNow).empty());
}

TEST(ClusterDrainTest, EndsWhatWasDialledThereBefore) {
  Connection connection;
  connection.server = *SpiffeId::ForWorkload("td", "west", "shop", "web");
  connection.opened_at = kNow - seconds(1);
  EXPECT_TRUE(EndsWithDrain(connection, "west", kNow));
  EXPECT_FALSE(EndsWithDrain(connection, "east", kNow));
  connection.opened_at = kNow;
  EXPECT_FALSE(EndsWithDrain(connection, "west", kNow)) << "it had nowhere else to go";
  connection.opened_at = kNow - seconds(1);
  connection.role = tunnel::Role::kAcceptor;
  EXPECT_FALSE(EndsWithDrain(connection, "west", kNow)) << "its dialer ends it";
}

}  // namespace
}  // namespace tombolo::agent
