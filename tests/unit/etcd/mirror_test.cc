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

class BoundedMirrorTest : public ::testing::Test {
 protected:
  Mirror mirror_{
      "p/",
      100'000,
      {.max_key = 100,
       .max_value = 1000,
       .max_of_writer = 3000,
       .writer_of = [](absl::string_view key) { return std::string(key.substr(2, 1)); }}};
};

TEST_F(BoundedMirrorTest, KeepsALargeValueAsItsPlace) {
  const std::string large(1001, 'x');
  const auto listed = mirror_.Replace({.revision = 9, .entries = {Entry("p/a", large, 4)}});
  EXPECT_THAT(*listed, ElementsAre(Pair("a", kTooLargeValue)));
  EXPECT_THAT(*mirror_.Apply(Batch({Put("p/a", large + "y", 10)})), IsEmpty());
  EXPECT_THAT(*mirror_.Apply(Batch({Put("p/a", "1", 11), Put("p/b", large, 12)})),
              ElementsAre(Pair("a", "1"), Pair("b", kTooLargeValue)));
}

TEST_F(BoundedMirrorTest, KeepsTheBeginningOfALongKey) {
  const std::string key = "p/a" + std::string(200, 'x');
  const auto put = mirror_.Apply(Batch({Put(key + "1", "1", 10), Put(key + "2", "1", 11)}));
  EXPECT_EQ(put->size(), 2u) << "they are told apart";
  EXPECT_LT(put->begin()->first.size(), 100u);
  EXPECT_EQ(mirror_.last().key, key + "2") << "what etcd can be asked for";
  EXPECT_EQ(mirror_.Apply(Batch({Deletion(key + "1", 12)}))->size(), 1u);
  EXPECT_EQ(mirror_.size(), 1u);
  EXPECT_EQ(mirror_.Apply(Batch({Deletion(key + "2", 13)}))->size(), 1u);
  EXPECT_EQ(mirror_.size(), 0u);
  const auto listed =
      mirror_.Replace({.revision = 20, .entries = {Entry("p/b", "", 4), Entry(key, "1", 19)}});
  ASSERT_TRUE(listed.ok());
  EXPECT_EQ(mirror_.last().key, "p/b");
}

TEST_F(BoundedMirrorTest, OneWriterHasNoMoreThanItsShare) {
  const std::string value(900, 'x');
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(mirror_.Apply(Batch({Put("p/a" + std::to_string(i), value, 10 + i)})).ok());
  }
  EXPECT_GE(mirror_.size(), 3u);
  EXPECT_LT(mirror_.size(), 20u);
  EXPECT_THAT(*mirror_.Apply(Batch({Put("p/b", value, 200)})), ElementsAre(Pair("b", value)))
      << "another one has all of its own";
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(mirror_.Apply(Batch({Deletion("p/a" + std::to_string(i), 300 + i)})).ok());
  }
  EXPECT_EQ(mirror_.size(), 1u);
  EXPECT_THAT(*mirror_.Apply(Batch({Put("p/a", value, 500)})), ElementsAre(Pair("a", value)))
      << "what is gone does not count";
}

// A list, as it is read page by page, goes through the same twice.
TEST(AccountTest, OnceIsEnough) {
  const Bounds bounds{.max_key = 100, .max_value = 1000, .max_of_writer = 3000};
  Account first(bounds), second(bounds);
  for (int i = 0; i < 50; ++i) {
    KeyValue entry = Entry("p/" + std::to_string(i), std::string(i * 37 % 1200, 'x'), i + 1);
    first.Clip(entry);
    if (!first.Admit(entry)) continue;
    KeyValue again = entry;
    second.Clip(again);
    EXPECT_TRUE(second.Admit(again)) << i;
    EXPECT_EQ(again.value, entry.value) << i;
  }
}

}  // namespace
}  // namespace tombolo::etcd
