// SPDX-License-Identifier: Apache-2.0
// What Apply() does when maps are full, and to what is gone.
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fixture.h"

namespace tombolo::datapath {
namespace {

class ApplyTest : public DatapathTest {
 protected:
  // Services at 10.96.1.<from..to>, port 80.
  void SetServices(int from, int to) {
    desired_.services.clear();
    for (int i = from; i <= to; ++i) {
      desired_.services.push_back({Address(absl::StrCat("10.96.1.", i, ":80")), 1});
    }
  }
};

TEST_F(ApplyTest, AFullServiceMapRefusesWhatItDoesNotKnow) {
  SetServices(1, 10);  // the map holds 8, two of which are tombstones now
  const absl::Status status = datapath_->Apply(desired_);
  ASSERT_FALSE(status.ok());
  EXPECT_TRUE(absl::StrContains(status.message(), "tb_services")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "full")) << status;
  EXPECT_TRUE(datapath_->refuse_unknown());
  EXPECT_EQ(ConnectError(workload_, "10.96.1.1:80"), 0);              // fits
  EXPECT_EQ(ConnectError(workload_, "10.96.1.10:80"), ECONNREFUSED);  // does not
  EXPECT_EQ(ConnectError(workload_, "192.168.1.1:80"), ECONNREFUSED);
  EXPECT_EQ(Count("refused_unknown"), 2u);
  EXPECT_EQ(ConnectError(stranger_, "192.168.1.1:80"), ENETUNREACH);
  const Fd server = ListenOn("127.0.0.1:8080");
  EXPECT_EQ(ConnectError(workload_, "127.0.0.1:8080"), 0);  // loopback stays

  SetServices(1, 3);
  Apply();
  EXPECT_FALSE(datapath_->refuse_unknown());
  EXPECT_EQ(ConnectError(workload_, "192.168.1.1:80"), ENETUNREACH);
}

TEST_F(ApplyTest, TombstonesInAProtectedRangeMakeRoomAndStayRefused) {
  desired_.protected_ranges = {*net::Prefix::Parse("10.96.0.0/16")};
  SetServices(1, 6);  // with the fixture's two, gone: 8
  Apply();
  SetServices(7, 11);
  Apply();  // room for 2: the IPv6 tombstone is unprotected and stays
  EXPECT_FALSE(datapath_->refuse_unknown());
  for (int i = 7; i <= 11; ++i) {
    EXPECT_EQ(ConnectError(workload_, absl::StrCat("10.96.1.", i, ":80")),
              i < 11 ? 0 : ECONNREFUSED)
        << i;  // the fifth meets the quota of 4
  }
  EXPECT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);   // reclaimed
  EXPECT_EQ(ConnectError(workload_, kVip6), ECONNREFUSED);  // a tombstone
  EXPECT_EQ(ConnectError(workload_, "10.97.0.1:80"), ENETUNREACH);

  // The guard goes, what it stood for stays.
  desired_.protected_ranges.clear();
  Apply();
  EXPECT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
  EXPECT_EQ(ConnectError(stranger_, kVip), ENETUNREACH);
}

TEST_F(ApplyTest, AServiceThatReturnsLeavesItsTombstone) {
  const auto services = desired_.services;
  desired_.services.clear();
  Apply();
  ASSERT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
  desired_.services = services;
  Apply();
  EXPECT_EQ(ConnectError(workload_, kVip), 0);
}

TEST_F(ApplyTest, AWorkloadThatDoesNotFitClosesServicesToStrangers) {
  for (std::uint64_t i = 0; i < options_.max_workloads; ++i) {
    desired_.workloads.push_back({std::uint64_t{1} << 40 | i, false});
  }
  const absl::Status status = datapath_->Apply(desired_);
  ASSERT_FALSE(status.ok());
  EXPECT_TRUE(datapath_->refuse_unknown());
  EXPECT_EQ(ConnectError(stranger_, kVip), EACCES);
  EXPECT_EQ(Count("refused_unenrolled"), 1u);
  EXPECT_EQ(ConnectError(stranger_, "192.168.1.1:80"), ENETUNREACH);

  desired_.workloads.resize(2);
  Apply();
  EXPECT_EQ(ConnectError(stranger_, kVip), ENETUNREACH);
}

// Then anybody may be the workload that did not fit, and any address the service.
TEST_F(ApplyTest, AWorkloadAndAServiceThatDoNotFitCloseEverythingToStrangers) {
  for (std::uint64_t i = 0; i < options_.max_workloads; ++i) {
    desired_.workloads.push_back({std::uint64_t{1} << 40 | i, false});
  }
  SetServices(1, 10);
  ASSERT_FALSE(datapath_->Apply(desired_).ok());
  EXPECT_EQ(ConnectError(stranger_, "10.96.1.10:80"), EACCES);
  EXPECT_EQ(ConnectError(stranger_, "192.168.1.1:80"), EACCES);
  const Fd server = ListenOn("127.0.0.1:8080");
  EXPECT_EQ(ConnectError(stranger_, "127.0.0.1:8080"), 0);

  desired_.workloads.resize(2);
  SetServices(1, 3);
  Apply();
  EXPECT_EQ(ConnectError(stranger_, "192.168.1.1:80"), ENETUNREACH);
}

// Who has no room in there is refused, and nobody else.
TEST_F(ApplyTest, AFullAllowListRefusesOnlyWhatDoesNotFit) {
  datapath_.reset();
  ASSERT_TRUE(Datapath::Remove(options_.bpffs, options_.instance).ok());
  options_.max_allowed = 1;
  Open();
  SetServices(1, 2);
  desired_.services[1].id = 2;
  desired_.allowed = {{workload_.id(), 1}, {workload_.id(), 2}};
  const absl::Status status = datapath_->Apply(desired_);
  ASSERT_FALSE(status.ok());
  EXPECT_TRUE(absl::StrContains(status.message(), "tb_allowed")) << status;
  EXPECT_FALSE(datapath_->refuse_unknown());
  ASSERT_TRUE(datapath_->MarkListener(listener4_.get()).ok());
  EXPECT_EQ(ConnectError(workload_, "10.96.1.1:80"), 0);
  EXPECT_EQ(ConnectError(workload_, "10.96.1.2:80"), EACCES);
  EXPECT_EQ(ConnectError(workload_, "192.168.1.1:80"), ENETUNREACH);
}

TEST_F(ApplyTest, AWorkloadThatIsGoneIsAStranger) {
  desired_.workloads.erase(desired_.workloads.begin());
  desired_.allowed.clear();
  Apply();
  EXPECT_EQ(ConnectError(workload_, kVip), ENETUNREACH);
  EXPECT_EQ(Entries("tb_allowed"), 0u);
  EXPECT_EQ(Entries("tb_workloads"), 1u);
}

TEST_F(ApplyTest, ALongerRangeInsideAClosedOneIsClosedToo) {
  desired_.protected_ranges = {*net::Prefix::Parse("10.96.0.0/16")};
  SetServices(1, 6);
  Apply();
  SetServices(7, 8);
  Apply();
  SetServices(9, 14);  // reclaims: the range is closed now
  Apply();
  ASSERT_EQ(ConnectError(workload_, "10.96.0.99:80"), ECONNREFUSED);
  desired_.protected_ranges.push_back(*net::Prefix::Parse("10.96.0.0/24"));
  Apply();
  EXPECT_EQ(ConnectError(workload_, "10.96.0.99:80"), ECONNREFUSED);
}

TEST_F(ApplyTest, TheProbesDestinationCannotBeAService) {
  desired_.services.push_back({Address("192.0.2.1:1"), 7});
  EXPECT_FALSE(datapath_->Apply(desired_).ok());
}

}  // namespace
}  // namespace tombolo::datapath
