// SPDX-License-Identifier: Apache-2.0
// On a cgroup of its own in the real hierarchy.
#include "agent/cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/strip.h"
#include "testing/cgroup.h"
#include "testing/skip.h"

namespace tombolo::agent {
namespace {

using ::testing::HasSubstr;

class CgroupsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto cgroups = Cgroups::Find();
    TOMBOLO_SKIP_UNLESS_OK(cgroups.status());
    cgroups_.emplace(*cgroups);
    auto made = test::Cgroup::Create("agent");
    TOMBOLO_SKIP_UNLESS_OK(made.status());
    cgroup_ = *std::move(made);
    ASSERT_TRUE(absl::StartsWith(cgroup_.path(), cgroups_->Absolute("/")));
    path_ = cgroup_.path().substr(cgroups_->Absolute("/").size());
  }

  std::optional<Cgroups> cgroups_;
  test::Cgroup cgroup_;
  std::string path_;  // below the mount
};

TEST_F(CgroupsTest, IdIsTheDirectorysInode) {
  EXPECT_EQ(cgroups_->Absolute(path_), cgroup_.path());
  const auto id = cgroups_->IdOf(path_);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, cgroup_.id());
  const auto root = cgroups_->IdOf("/");
  ASSERT_TRUE(root.ok());
  EXPECT_NE(*root, *id);
}

TEST_F(CgroupsTest, AMissingCgroupIsNotFoundAndNamed) {
  const auto id = cgroups_->IdOf(path_ + "-none");
  EXPECT_TRUE(absl::IsNotFound(id.status())) << id.status();
  EXPECT_THAT(std::string(id.status().message()), HasSubstr(path_ + "-none"));
}

TEST_F(CgroupsTest, ExistsUntilItIsRemoved) {
  if (geteuid() != 0) TOMBOLO_SKIP_WITHOUT("CAP_DAC_READ_SEARCH");
  const std::uint64_t id = cgroup_.id();
  EXPECT_TRUE(cgroups_->Exists(id));
  cgroup_.Remove();
  EXPECT_FALSE(cgroups_->Exists(id));
  EXPECT_FALSE(cgroups_->Exists(0xffffffffffff));
}

TEST_F(CgroupsTest, FindsItsOwn) {
  std::string inside;
  ASSERT_TRUE(cgroup_.Run([&] { inside = cgroups_->Own().value_or("none"); }).ok());
  EXPECT_EQ(inside, path_);
}

}  // namespace
}  // namespace tombolo::agent
