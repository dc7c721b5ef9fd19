// SPDX-License-Identifier: Apache-2.0
#include "agent/desired_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tunnel/routing_id.h"
#include "unit/mesh/small_mesh.h"

namespace tombolo::agent {
namespace {

using Action = datapath::DesiredState::Action;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class DesiredStateTest : public ::testing::Test {
 protected:
  datapath::DesiredState Make() {
    EXPECT_TRUE(snapshot_->Index().ok());
    return MakeDesiredState(*snapshot_, entries_, retired_, ranges_, own_);
  }

  std::shared_ptr<mesh::Snapshot> snapshot_ = mesh::SmallMesh();
  std::map<std::string, Enrolment::Entry> entries_;
  std::vector<std::uint64_t> retired_;
  std::vector<net::Prefix> ranges_;
  std::uint64_t own_ = 0;
};

TEST_F(DesiredStateTest, PortsWithAReadyEndpointAreCapturedAndOthersRefused) {
  const auto state = Make();
  ASSERT_THAT(state.services, SizeIs(2));
  EXPECT_EQ(state.services[0].vip.ToString(), "10.96.0.10:80");
  EXPECT_EQ(state.services[0].id, tunnel::ServicePortId("shop/web", 80));
  EXPECT_EQ(state.services[0].action, Action::kCapture);
  EXPECT_EQ(state.services[1].vip.ToString(), "10.96.0.10:443");
  EXPECT_EQ(state.services[1].action, Action::kRefuse);
}

TEST_F(DesiredStateTest, UnreadyEndpointsDoNotCount) {
  snapshot_->services[0].ports[0].endpoints[0].ready = false;
  EXPECT_EQ(Make().services[0].action, Action::kRefuse);
}

TEST_F(DesiredStateTest, OneReadyEndpointIsEnough) {
  auto& endpoints = snapshot_->services[0].ports[0].endpoints;
  endpoints.push_back(endpoints[0]);
  endpoints[0].ready = false;
  endpoints[1].address.port = 8081;
  EXPECT_EQ(Make().services[0].action, Action::kCapture);
}

TEST_F(DesiredStateTest, EveryVipOfAServiceIsThere) {
  snapshot_->services[0].vips.push_back(*net::IpAddress::Parse("fd00::10"));
  const auto state = Make();
  ASSERT_THAT(state.services, SizeIs(4));
  EXPECT_EQ(state.services[1].vip.ToString(), "[fd00::10]:80");
  EXPECT_EQ(state.services[1].id, state.services[0].id);
}

TEST_F(DesiredStateTest, AllowedPairsFollowPolicy) {
  entries_["east/curl"].cgroup_id = 7;
  entries_["west/web"].cgroup_id = 8;  // no rule allows it anything
  const auto state = Make();
  ASSERT_THAT(state.workloads, SizeIs(2));
  for (const auto& workload : state.workloads) EXPECT_FALSE(workload.exempt);
  ASSERT_THAT(state.allowed, SizeIs(1));
  EXPECT_EQ(state.allowed[0].cgroup_id, 7u);
  EXPECT_EQ(state.allowed[0].service_id, tunnel::ServicePortId("shop/web", 80));
}

TEST_F(DesiredStateTest, ARuleWithoutPortsAllowsEveryPortReadyOrNot) {
  entries_["east/curl"].cgroup_id = 7;
  snapshot_->allow[0].ports.clear();
  EXPECT_THAT(Make().allowed, SizeIs(2));
}

TEST_F(DesiredStateTest, WithoutRulesNothingIsAllowed) {
  entries_["east/curl"].cgroup_id = 7;
  snapshot_->allow.clear();
  const auto state = Make();
  EXPECT_THAT(state.allowed, IsEmpty());
  EXPECT_THAT(state.workloads, SizeIs(1));  // captured all the same
}

TEST_F(DesiredStateTest, WorkloadsWithoutACgroupAreNotThere) {
  entries_["east/curl"].cgroup_id = 0;
  entries_["east/unknown"].cgroup_id = 9;
  const auto state = Make();
  EXPECT_THAT(state.workloads, IsEmpty());
  EXPECT_THAT(state.allowed, IsEmpty());
}

TEST_F(DesiredStateTest, RetiredCgroupsStayCapturedWithNothingAllowed) {
  retired_ = {11, 12};
  const auto state = Make();
  ASSERT_THAT(state.workloads, SizeIs(2));
  EXPECT_EQ(state.workloads[0].cgroup_id, 11u);
  EXPECT_FALSE(state.workloads[0].exempt);
  EXPECT_EQ(state.workloads[1].cgroup_id, 12u);
  EXPECT_THAT(state.allowed, IsEmpty());
}

TEST_F(DesiredStateTest, OnlyTheAgentsOwnCgroupIsExempt) {
  own_ = 5;
  entries_["east/curl"].cgroup_id = 7;
  const auto state = Make();
  ASSERT_THAT(state.workloads, SizeIs(2));
  for (const auto& workload : state.workloads) {
    EXPECT_EQ(workload.exempt, workload.cgroup_id == 5);
  }
}

TEST_F(DesiredStateTest, ProtectedRangesPassThrough) {
  ranges_ = {*net::Prefix::Parse("10.96.0.0/16")};
  const auto state = Make();
  EXPECT_EQ(state.protected_ranges, ranges_);
  EXPECT_THAT(state.service_ranges, IsEmpty());
}

TEST_F(DesiredStateTest, WhereImportedServicesMayBeOnlyServicesAre) {
  snapshot_->imports.emplace().vips = {*net::Prefix::Parse("10.112.0.0/16")};
  EXPECT_EQ(Make().service_ranges, snapshot_->imports->vips);
}

}  // namespace
}  // namespace tombolo::agent
