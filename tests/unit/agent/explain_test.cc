// SPDX-License-Identifier: Apache-2.0
// Who and what a supposed connection is about; the rest has tests with a running agent.
#include "agent/explain.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/mesh/small_mesh.h"

namespace tombolo::agent {
namespace {

using ::testing::HasSubstr;

class ExplainTest : public ::testing::Test {
 protected:
  ExplainTest() { EXPECT_TRUE(snapshot_->Index().ok()); }
  absl::StatusOr<Parties> Find(const std::string& workload, const std::string& to) const {
    return FindParties(*snapshot_, settings_, {.workload = workload, .to = to});
  }
  std::string Wrong(const std::string& workload, const std::string& to) const {
    return std::string(Find(workload, to).status().message());
  }

  std::shared_ptr<mesh::Snapshot> snapshot_ = mesh::SmallMesh();
  const Settings settings_{.cluster = "east", .node = "east-1", .kernel_tls = {}, .wan = {}};
};

TEST_F(ExplainTest, AServiceGoesByItsNameOrAVip) {
  for (const char* to : {"shop/web:80", "10.96.0.10:80"}) {
    const auto found = Find("east/curl", to);
    ASSERT_TRUE(found.ok()) << to << ": " << found.status();
    EXPECT_EQ(found->source, &snapshot_->workloads[0]);
    EXPECT_EQ(found->target.service, &snapshot_->services[0]);
    EXPECT_EQ(found->target.port, &snapshot_->services[0].ports[0]);
    EXPECT_EQ(found->vip.ToString(), "10.96.0.10:80");
  }
}

TEST_F(ExplainTest, AnAddressThatIsNoServiceIsAnAnswer) {
  const auto found = Find("east/curl", "10.96.0.11:80");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->target.service, nullptr);
  EXPECT_EQ(found->vip.ToString(), "10.96.0.11:80");
}

TEST_F(ExplainTest, AServiceWithoutAVipHasNoAddress) {
  snapshot_ = mesh::SmallMesh();
  snapshot_->services[0].vips.clear();
  ASSERT_TRUE(snapshot_->Index().ok());
  const auto found = Find("east/curl", "shop/web:443");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->vip.port, 0);
}

TEST_F(ExplainTest, ErrorsNameWhatIsWrong) {
  EXPECT_THAT(Wrong("east/wget", "shop/web:80"), HasSubstr("no workload 'east/wget'"));
  EXPECT_THAT(Wrong("west/web", "shop/web:80"), HasSubstr("is on node west/west-1"));
  EXPECT_THAT(Wrong("east/curl", "shop/api:80"), HasSubstr("no service 'shop/api'"));
  EXPECT_THAT(Wrong("east/curl", "shop/web:81"), HasSubstr("'shop/web' has no port 81"));
  EXPECT_THAT(Wrong("east/curl", "shop/web"), HasSubstr("'shop/web' has no port; say"));
  EXPECT_THAT(Wrong("east/curl", "shop/web:http"), HasSubstr("'http'"));
  EXPECT_THAT(Wrong("east/curl", "10.96.0.10"), HasSubstr("'10.96.0.10'"));
}

}  // namespace
}  // namespace tombolo::agent
