// SPDX-License-Identifier: Apache-2.0
#include "etcd/mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::etcd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

KeyValue Entry(const std::string& key, const std::string& value, std::int64_t revision) {
  return {.key = key, .value = value, .mod_revision = revision};
}
Event Put(const std::string& key, const std::string& value, std::int64_t revision) {
  return {.entry = Entry(key, value, revision)};
}
Event Deletion(const std::string& key, std::int64_t revision) {
  return {.deleted = true, .entry = Entry(key, "", revision)};
}
Watch::Batch Batch(std::vector<Event> events) {
  const std::int64_t revision = events.back().entry.mod_revision;
  return {.revision = revision, .events = std::move(events)};
}

class MirrorTest : public ::testing::Test {
 protected:
  MirrorTest() {
    EXPECT_TRUE(
        mirror_.Replace({.revision = 9, .entries = {Entry("p/a", "1", 4), Entry("p/b", "2", 7)}})
            .ok());
  }
  Mirror mirror_{"p/", 100};
};

TEST_F(MirrorTest, TellsWhatIsDifferent) {
  EXPECT_EQ(mirror_.last().key, "p/b");
  EXPECT_EQ(mirror_.last().mod_revision, 7);
  const auto changes =
      mirror_.Replace({.revision = 20, .entries = {Entry("p/a", "1", 4), Entry("p/c", "3", 12)}});
  ASSERT_TRUE(changes.ok()) << changes.status();
  EXPECT_THAT(*changes, ElementsAre(Pair("b", std::nullopt), Pair("c", "3")));
  EXPECT_EQ(mirror_.revision(), 20);
}

TEST_F(MirrorTest, AppliesABatchAsAWhole) {
  const auto changes = mirror_.Apply(Batch(
      {Put("p/a", "5", 10), Put("p/a", "6", 11), Deletion("p/b", 12), Put("p/c", "7", 13),
       Deletion("p/c", 14), Deletion("p/b", 15), Put("p/b", "2", 16), Deletion("p/none", 17)}));
  ASSERT_TRUE(changes.ok()) << changes.status();
  EXPECT_THAT(*changes, ElementsAre(Pair("a", "6"))) << "the rest is as it was";
  EXPECT_EQ(mirror_.revision(), 17);
  EXPECT_EQ(mirror_.size(), 2);
  EXPECT_EQ(mirror_.last().key, "p/none");
  EXPECT_EQ(mirror_.last().mod_revision, 0);
}

TEST_F(MirrorTest, RefusesWhatCannotBe) {
  EXPECT_TRUE(absl::IsOutOfRange(mirror_.Apply(Batch({Put("p/a", "2", 9)})).status()));
  EXPECT_TRUE(absl::IsDataLoss(mirror_.Apply(Batch({Put("q/a", "2", 10)})).status()));
  EXPECT_TRUE(absl::IsDataLoss(
      mirror_.Replace({.revision = 12, .entries = {Entry("q", "", 11)}}).status()));
  EXPECT_TRUE(
      absl::IsOutOfRange(mirror_.Apply(Batch({Put("p/a", std::string(200, 'x'), 10)})).status()));
  EXPECT_EQ(mirror_.revision(), 9);
  EXPECT_THAT(*mirror_.Apply(Batch({Put("p/a", "1", 10)})), IsEmpty()) << "nothing was changed";
}

TEST_F(MirrorTest, CountsWhatItHolds) {
  for (std::int64_t revision = 10; revision < 100; revision += 2) {
    ASSERT_TRUE(mirror_.Apply(Batch({Put("p/a", std::string(60, 'x'), revision)})).ok());
    ASSERT_TRUE(mirror_.Apply(Batch({Deletion("p/a", revision + 1)})).ok());
  }
  EXPECT_EQ(mirror_.size(), 1);
}

}  // namespace
}  // namespace tombolo::etcd
