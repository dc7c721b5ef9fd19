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

absl::StatusOr<Changes> ReplaceAll(Mirror& mirror, const RangeAnswer& listed) {
  Mirror::Listing listing = mirror.Begin();
  for (const KeyValue& entry : listed.entries) {
    if (absl::Status added = listing.Add(entry); !added.ok()) return added;
  }
  return mirror.Replace(std::move(listing), listed);
}

class MirrorTest : public ::testing::Test {
 protected:
  MirrorTest() {
    EXPECT_TRUE(ReplaceAll(mirror_,
                           {.revision = 9, .entries = {Entry("p/a", "1", 4), Entry("p/b", "2", 7)}})
                    .ok());
  }
  Mirror mirror_{"p/", 1000};
};

TEST_F(MirrorTest, TellsWhatIsDifferent) {
  EXPECT_EQ(mirror_.last().key, "p/b");
  EXPECT_EQ(mirror_.last().mod_revision, 7);
  const auto changes = ReplaceAll(
      mirror_, {.revision = 20, .entries = {Entry("p/a", "1", 4), Entry("p/c", "3", 12)}});
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
      ReplaceAll(mirror_, {.revision = 12, .entries = {Entry("q", "", 11)}}).status()));
  EXPECT_TRUE(
      absl::IsOutOfRange(mirror_.Apply(Batch({Put("p/a", std::string(2000, 'x'), 10)})).status()));
  EXPECT_EQ(mirror_.revision(), 9);
  EXPECT_THAT(*mirror_.Apply(Batch({Put("p/a", "1", 10)})), IsEmpty()) << "nothing was changed";
}

TEST_F(MirrorTest, CountsWhatItHolds) {
  for (std::int64_t revision = 10; revision < 100; revision += 2) {
    ASSERT_TRUE(mirror_.Apply(Batch({Put("p/a", std::string(600, 'x'), revision)})).ok());
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
       .writer_of = [](absl::string_view key) { return std::string(key.substr(0, 1)); }}};
};

TEST_F(BoundedMirrorTest, KeepsALargeValueAsItsPlace) {
  const std::string large(1001, 'x');
  const auto listed = ReplaceAll(mirror_, {.revision = 9, .entries = {Entry("p/a", large, 4)}});
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
      ReplaceAll(mirror_, {.revision = 20, .entries = {Entry("p/b", "", 4), Entry(key, "1", 19)}});
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

std::string Value() { return std::string(900, 'x'); }

// `writer` writes so many values of 900 bytes, beginning with its `first` key.
void Fill(Mirror& mirror, const std::string& writer, int first, int count) {
  for (int i = first; i < first + count; ++i) {
    const std::string key = "p/" + writer + std::to_string(100 + i);
    ASSERT_TRUE(mirror.Apply(Batch({Put(key, Value(), mirror.revision() + 1)})).ok());
  }
}
std::size_t WholeOf(const Mirror& mirror, const std::string& writer) {
  std::size_t whole = 0;
  for (const auto& [key, value] : mirror.Below(writer)) whole += *value == kTooMuchOfWriter ? 0 : 1;
  return whole;
}

class FairMirrorTest : public ::testing::Test {
 protected:
  Mirror mirror_{"p/", 100'000, {.max_of_writer = 60'000, .writer_of = [](absl::string_view key) {
                                   return key.substr(0, 1) == "!" ? std::string()
                                                                  : std::string(key.substr(0, 1));
                                 }}};
};

TEST_F(FairMirrorTest, WhoHasMostHasLessWhenTheRestNeedsRoom) {
  Fill(mirror_, "a", 0, 50);
  EXPECT_EQ(WholeOf(mirror_, "a"), 50u);
  Fill(mirror_, "c", 0, 10);
  Fill(mirror_, "b", 0, 50);
  EXPECT_EQ(WholeOf(mirror_, "c"), 10u) << "who has little keeps it";
  EXPECT_GE(WholeOf(mirror_, "a"), 100'000 * 3 / 4 / 3 / 1100);
  EXPECT_GE(WholeOf(mirror_, "b"), 100'000 * 3 / 4 / 3 / 1100);
  EXPECT_LT(WholeOf(mirror_, "a"), 50u);
  EXPECT_LT(WholeOf(mirror_, "b"), 50u);
  EXPECT_EQ(mirror_.Below("a").begin()->second->size(), 900u) << "the last ones went";
  Fill(mirror_, "d", 0, 10);
  EXPECT_EQ(WholeOf(mirror_, "d"), 10u) << "who comes later has as much as others";
}

TEST_F(FairMirrorTest, TellsWhatItLeavesOutOfOthers) {
  Fill(mirror_, "a", 0, 50);
  Changes all = mirror_.Below("");
  for (int i = 0; i < 50; ++i) {
    const auto changes =
        mirror_.Apply(Batch({Put("p/b" + std::to_string(100 + i), Value(), 1000 + i)}));
    ASSERT_TRUE(changes.ok());
    for (const auto& [key, value] : *changes) {
      if (value) {
        all[key] = value;
      } else {
        all.erase(key);
      }
    }
  }
  EXPECT_EQ(all, mirror_.Below(""));
  EXPECT_LT(WholeOf(mirror_, "a"), 50u);
}

TEST_F(FairMirrorTest, OfAListAsOfAWatch) {
  Mirror::Listing listing = mirror_.Begin();
  for (const char* writer : {"a", "b", "c"}) {
    for (int i = 0; i < (*writer == 'c' ? 5 : 50); ++i) {
      const std::string key = writer + std::to_string(100 + i);
      ASSERT_TRUE(listing.Add(Entry("p/" + key, Value(), i + 1)).ok());
    }
  }
  mirror_.Replace(std::move(listing), {.revision = 100});
  EXPECT_EQ(WholeOf(mirror_, "c"), 5u);
  EXPECT_GE(WholeOf(mirror_, "a"), 20u);
  EXPECT_GE(WholeOf(mirror_, "b"), 20u);
}

TEST_F(FairMirrorTest, NothingOfAdministratorsIsLeftOutForOthers) {
  Fill(mirror_, "!", 0, 30);
  for (const char* writer : {"a", "b", "c", "d", "e"}) Fill(mirror_, writer, 0, 50);
  EXPECT_EQ(WholeOf(mirror_, "!"), 30u);
  const auto too_much = mirror_.Apply(Batch({Put("p/!", std::string(90'000, 'x'), 10'000)}));
  EXPECT_TRUE(absl::IsOutOfRange(too_much.status())) << too_much.status();
  EXPECT_EQ(WholeOf(mirror_, "!"), 30u) << "nothing was changed";
}

TEST_F(FairMirrorTest, WhoHasRoomAgainIsReadAgain) {
  Fill(mirror_, "a", 0, 80);
  EXPECT_LT(WholeOf(mirror_, "a"), 60u);
  EXPECT_EQ(mirror_.NextWithRoom(), std::nullopt);
  const auto revision = [&] { return mirror_.revision() + 1; };
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(mirror_.Apply(Batch({Deletion("p/a" + std::to_string(100 + i), revision())})).ok());
  }
  ASSERT_EQ(mirror_.NextWithRoom(), "a");
  Mirror::Listing listing = mirror_.Begin("a");
  for (int i = 40; i < 80; ++i) {
    ASSERT_TRUE(listing.Add(Entry("p/a" + std::to_string(100 + i), Value(), 1)).ok());
  }
  const auto changes = mirror_.ReplaceOf("a", std::move(listing));
  ASSERT_TRUE(changes.ok()) << changes.status();
  EXPECT_EQ(WholeOf(mirror_, "a"), 40u);
  EXPECT_EQ(changes->size(), 40u);
  EXPECT_EQ(mirror_.NextWithRoom(), std::nullopt);
}

TEST_F(FairMirrorTest, RoomThatOthersLeaveCountsToo) {
  Fill(mirror_, "a", 0, 50);
  Fill(mirror_, "b", 0, 50);
  // That marks need less than they may have is room, too.
  int readings = 0;
  for (; readings < 10; ++readings) {
    const auto writer = mirror_.NextWithRoom();
    if (!writer) break;
    Mirror::Listing listing = mirror_.Begin(*writer);
    for (int i = 0; i < 50 && !listing.complete(); ++i) {
      const KeyValue entry = Entry("p/" + *writer + std::to_string(100 + i), Value(), 1);
      const absl::Status added = listing.Add(entry);
      ASSERT_NE(added.ok(), listing.complete()) << added;
    }
    ASSERT_TRUE(mirror_.ReplaceOf(*writer, std::move(listing)).ok());
  }
  EXPECT_LT(readings, 10) << "it comes to an end";
  EXPECT_LT(WholeOf(mirror_, "a") + WholeOf(mirror_, "b"), 100u);
  for (int i = 0; i < 50; ++i) {
    const std::string key = "p/b" + std::to_string(100 + i);
    ASSERT_TRUE(mirror_.Apply(Batch({Deletion(key, mirror_.revision() + 1)})).ok());
  }
  EXPECT_NE(mirror_.NextWithRoom(), std::nullopt);
}

std::string KeyOf(int i) { return "p/a" + std::to_string(100 + i); }

TEST_F(FairMirrorTest, WhatIsKeptStaysWhenItIsWrittenAgain) {
  Fill(mirror_, "a", 0, 80);
  const std::size_t whole = WholeOf(mirror_, "a");
  const std::string other(900, 'y');
  EXPECT_THAT(*mirror_.Apply(Batch({Put(KeyOf(0), other, 1000)})),
              ElementsAre(Pair("a100", other)));
  // As a gateway does that starts again.
  ASSERT_TRUE(mirror_.Apply(Batch({Deletion(KeyOf(1), 1001)})).ok());
  EXPECT_THAT(*mirror_.Apply(Batch({Put(KeyOf(1), other, 1002)})),
              ElementsAre(Pair("a101", other)));
  EXPECT_EQ(WholeOf(mirror_, "a"), whole);
}

TEST_F(FairMirrorTest, WhatComesFirstIsKeptWheneverItComes) {
  Fill(mirror_, "a", 10, 70);
  const std::size_t whole = WholeOf(mirror_, "a");
  const std::string value = Value(), last = "a" + std::to_string(110 + whole - 1);
  EXPECT_THAT(*mirror_.Apply(Batch({Put(KeyOf(0), value, 1000)})),
              ElementsAre(Pair("a100", value), Pair(last, kTooMuchOfWriter)));
  EXPECT_EQ(WholeOf(mirror_, "a"), whole);
  EXPECT_THAT(*mirror_.Apply(Batch({Put(KeyOf(90), "1", 1001)})),
              ElementsAre(Pair("a190", kTooMuchOfWriter)))
      << "however small it is";
}

TEST_F(FairMirrorTest, OfAWatchAsOfAList) {
  Mirror::Listing listing = mirror_.Begin();
  for (int i = 0; i < 80; ++i) {
    // In another order.
    const int number = i * 37 % 80;
    ASSERT_TRUE(mirror_.Apply(Batch({Put(KeyOf(number), Value(), 10 + i)})).ok());
    ASSERT_TRUE(listing.Add(Entry(KeyOf(i), Value(), 10 + i)).ok());
  }
  EXPECT_LT(WholeOf(mirror_, "a"), 80u);
  EXPECT_EQ(mirror_.Below("a").size(), 80u);
  EXPECT_THAT(mirror_.Replace(std::move(listing), {.revision = 100}), IsEmpty());
}

TEST_F(FairMirrorTest, WhatFailsUndoesAllOfIt) {
  Fill(mirror_, "!", 0, 30);
  Fill(mirror_, "a", 0, 80);
  const Changes before = mirror_.Below("");
  const std::string large(20'000, 'x');
  std::vector<Event> events = {Put("p/a0", large, 1000), Put("p/!", large, 1001)};
  events.push_back(Put("p/!1", large + large, 1002));
  EXPECT_TRUE(absl::IsOutOfRange(mirror_.Apply(Batch(events)).status()));
  EXPECT_EQ(mirror_.Below(""), before);
  for (int i = 0; i < 80; ++i) {
    ASSERT_TRUE(mirror_.Apply(Batch({Deletion(KeyOf(i), 1000 + i)})).ok());
  }
  Fill(mirror_, "a", 0, 40);
  EXPECT_EQ(WholeOf(mirror_, "a"), 40u) << "all is accounted for as before";
}

TEST_F(FairMirrorTest, AReadingEndsWhenNothingMoreWouldBeKept) {
  Fill(mirror_, "a", 0, 80);
  const std::size_t whole = WholeOf(mirror_, "a");
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(mirror_.Apply(Batch({Deletion(KeyOf(i), mirror_.revision() + 1)})).ok());
  }
  ASSERT_EQ(mirror_.NextWithRoom(), "a");
  Mirror::Listing listing = mirror_.Begin("a");
  int next = 10;
  absl::Status added;
  while (next < 80 && added.ok()) {
    added = listing.Add(Entry(KeyOf(next++), Value(), 1));
  }
  EXPECT_TRUE(absl::IsOutOfRange(added)) << added;
  EXPECT_TRUE(listing.complete());
  EXPECT_EQ(next, 10 + static_cast<int>(whole) + 1) << "with the first that has no room";
  ASSERT_TRUE(mirror_.ReplaceOf("a", std::move(listing)).ok());
  EXPECT_EQ(WholeOf(mirror_, "a"), whole);
  EXPECT_EQ(mirror_.Below("a").size(), 70u) << "what comes after it is still known to be there";
}

}  // namespace
}  // namespace tombolo::etcd
