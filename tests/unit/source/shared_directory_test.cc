// SPDX-License-Identifier: Apache-2.0
#include "source/shared_directory.h"

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "unit/source/shared_mesh.h"

namespace tombolo::source {
namespace {

constexpr char kWeb[] = "clusters/west/services/shop/web";
using Limits = DirectoryLimits;

std::size_t CountOf(const SharedDirectory& shared, RefusalReason reason) {
  Refusals refusals;
  shared.AddRefusals(refusals);
  std::size_t count = 0;
  for (const auto& [of, group] : refusals.groups()) count += of.second == reason ? group.count : 0;
  return count;
}

std::string Identity(int i) { return absl::StrCat("spiffe://td/cluster/west/ns/shop/sa/s", i); }

TEST(SharedDirectoryTest, SaysTheSameAfterACopy) {
  const SharedDirectory shared = Shared(WestKeys());
  SharedDirectory copy("east");
  Keys keys;
  shared.ForEach([&](const std::string& key, std::string value) {
    copy.Put(key, value);
    keys.emplace(key, value);
  });
  EXPECT_EQ(keys.size(), WestKeys().size());
  EXPECT_TRUE(copy.MayServe("west", "shop"));
  EXPECT_EQ(copy.members().at("west").gateways.size(), 1u);
  EXPECT_EQ(copy.vips().size(), 1u);
  EXPECT_EQ(CountOf(copy, RefusalReason::kMalformed), 0u);
}

TEST(SharedDirectoryTest, ABadVersionIsAbsentAndTheNextGoodOneCounts) {
  SharedDirectory shared = Shared(WestKeys());
  shared.Put(kWeb, "{");
  EXPECT_TRUE(shared.members().at("west").services.empty());
  EXPECT_EQ(CountOf(shared, RefusalReason::kMalformed), 1u);
  shared.Put(kWeb, Exported(kWestWeb));
  EXPECT_EQ(shared.members().at("west").services.size(), 1u);
  EXPECT_EQ(CountOf(shared, RefusalReason::kMalformed), 0u);
  shared.Put("admin/clusters/west", R"({"gateways":"all"})");
  EXPECT_FALSE(shared.grants().contains("west"));
  shared.Put("admin/namespaces/shop", "{}");
  EXPECT_FALSE(shared.MayServe("west", "shop"));
}

TEST(SharedDirectoryTest, AKeyOfNoKindIsRefusedAsItsWriters) {
  SharedDirectory shared("east");
  shared.Put("clusters/west/routing/00112233", "{}");
  shared.Put("nonsense", "{}");
  Refusals refusals;
  shared.AddRefusals(refusals);
  EXPECT_TRUE(refusals.groups().contains({"west", RefusalReason::kMalformed}));
  EXPECT_TRUE(refusals.groups().contains({"", RefusalReason::kMalformed}));
  shared.Erase("clusters/west/routing/00112233");
  shared.Erase("nonsense");
  EXPECT_EQ(CountOf(shared, RefusalReason::kMalformed), 0u);
}

TEST(SharedDirectoryTest, OfALongKeyTheBeginningIsRemembered) {
  SharedDirectory shared("east");
  const std::string key = "clusters/west/" + std::string(1'000'000, 'x');
  shared.Put(key + "1", "{}");
  shared.Put(key + "2", "{}");
  Refusals refusals;
  shared.AddRefusals(refusals);
  const Refusals::Group& group = refusals.groups().at({"west", RefusalReason::kMalformed});
  ASSERT_EQ(group.told.size(), 2u);
  for (const Refusal& refusal : group.told) {
    EXPECT_LT(refusal.key.size() + refusal.what.size(), 1000u);
  }
  shared.Erase(key + "1");
  EXPECT_EQ(CountOf(shared, RefusalReason::kMalformed), 1u);
  shared.Erase(key + "2");
  EXPECT_EQ(CountOf(shared, RefusalReason::kMalformed), 0u);
}

TEST(SharedDirectoryTest, OneClusterCostsOthersOnlySoMuch) {
  SharedDirectory shared("east");
  for (std::size_t i = 0; i < Limits::kServices + 200; ++i) {
    shared.Put(absl::StrCat("clusters/west/services/shop/s", i), Exported(kWestWeb));
  }
  EXPECT_EQ(shared.members().at("west").services.size(), Limits::kServices);
  EXPECT_EQ(CountOf(shared, RefusalReason::kTooMuch), 200u);
  // South is none the worse for it.
  shared.Put("clusters/south/services/shop/web", Exported("spiffe://td/x"));
  EXPECT_EQ(shared.members().at("south").services.size(), 1u);
  // A known one may change, and room is made again.
  shared.Put("clusters/west/services/shop/s0", Exported(Identity(0), 443));
  EXPECT_EQ(shared.members().at("west").services.at({"shop", "s0"}).ports[0].port, 443);
  shared.Erase("clusters/west/services/shop/s0");
  shared.Put("clusters/west/services/shop/one-more", Exported(kWestWeb));
  EXPECT_EQ(shared.members().at("west").services.size(), Limits::kServices);
}

TEST(SharedDirectoryTest, BackendsAndGatewaysAreLimitedToo) {
  SharedDirectory shared("east");
  ServiceRecord record{.ports = {{.port = 80}}};
  for (int i = 0; i < 250; ++i) {
    record.ports[0].backends.push_back({.identity = *SpiffeId::Parse(Identity(i))});
  }
  const std::string value = Encode(record);
  const std::size_t fit = Limits::kBackends / 250;
  for (std::size_t i = 0; i < fit + 3; ++i) {
    shared.Put(absl::StrCat("clusters/west/services/shop/s", i), value);
  }
  EXPECT_EQ(shared.members().at("west").services.size(), fit);
  EXPECT_LE(shared.members().at("west").backends, Limits::kBackends);
  for (std::size_t i = 0; i < Limits::kGateways + 1; ++i) {
    shared.Put(absl::StrCat("clusters/south/gateways/g", i),
               absl::StrCat(R"({"address":"203.0.113.1:)", i + 1, R"("})"));
  }
  EXPECT_EQ(shared.members().at("south").gateways.size(), Limits::kGateways);
  EXPECT_EQ(CountOf(shared, RefusalReason::kTooMuch), 4u);
}

TEST(SharedDirectoryTest, BytesAreLimited) {
  SharedDirectory shared("east");
  const std::string long_name(1900, 'a');
  ServiceRecord record{.ports = {{.port = 80}}};
  for (int i = 0; i < 30; ++i) {
    record.ports[0].backends.push_back(
        {.identity = *SpiffeId::Parse(absl::StrCat("spiffe://td/", long_name, i))});
  }
  const std::string value = Encode(record);
  for (int i = 0; i < 400; ++i) {
    shared.Put(absl::StrCat("clusters/west/services/shop/s", i), value);
  }
  const SharedDirectory::Member& west = shared.members().at("west");
  EXPECT_LE(west.bytes, Limits::kBytes);
  EXPECT_GT(west.bytes, Limits::kBytes / 2);
  EXPECT_GT(CountOf(shared, RefusalReason::kTooMuch), 0u);
  for (int i = 0; i < 400; ++i) shared.Erase(absl::StrCat("clusters/west/services/shop/s", i));
  EXPECT_TRUE(shared.members().empty());
}

// What is in etcd of a cluster that has more than others remember, and what is told of it.
class TooMuchOfWest {
 public:
  void Put(std::size_t service) { Change(service, Exported(kWestWeb)); }
  void Erase(std::size_t service) { Change(service, std::nullopt); }
  // As somebody does who asks for it; false: nobody wants it.
  bool TellAgain() {
    if (shared_.TakeClustersWithRoom().empty()) return false;
    return shared_.Apply({all_.begin(), all_.end()}, /*listed=*/false).ok();
  }
  std::size_t size() const { return all_.size(); }
  std::size_t known() const {
    const auto west = shared_.members().find("west");
    return west == shared_.members().end() ? 0 : west->second.services.size();
  }
  std::size_t refused() const { return CountOf(shared_, RefusalReason::kTooMuch); }

 private:
  void Change(std::size_t service, std::optional<std::string> value) {
    const std::string key = absl::StrCat("clusters/west/services/shop/s", service);
    value ? (void)(all_[key] = *value) : (void)all_.erase(key);
    EXPECT_TRUE(shared_.Apply({{key, std::move(value)}}, /*listed=*/false).ok());
  }

  Keys all_;
  SharedDirectory shared_{"east"};
};

TEST(SharedDirectoryTest, AlsoThoseThatAreOnlyCountedComeIn) {
  TooMuchOfWest west;
  for (std::size_t i = 0; i < Limits::kServices + 200; ++i) west.Put(i);
  EXPECT_EQ(west.refused(), 200u);
  // The hundred of which the names are remembered.
  for (std::size_t i = 0; i < 100; ++i) west.Erase(Limits::kServices + i);
  EXPECT_TRUE(west.TellAgain()) << "to tell the names of the others";
  EXPECT_EQ(west.refused(), 100u);
  EXPECT_FALSE(west.TellAgain()) << "as long as there is no room";
  for (std::size_t i = 0; i < 60; ++i) west.Erase(i);
  EXPECT_TRUE(west.TellAgain());
  EXPECT_EQ(west.known(), Limits::kServices);
  EXPECT_EQ(west.refused(), 40u);
  for (std::size_t i = 60; i < 100; ++i) west.Erase(i);
  EXPECT_TRUE(west.TellAgain());
  EXPECT_EQ(west.known(), west.size());
  EXPECT_EQ(west.refused(), 0u);
  EXPECT_FALSE(west.TellAgain());
}

// 10,000 stay, and 400 come and go: those that are kept as those of which there is too much.
TEST(SharedDirectoryTest, WhatIsKnownIsAsMuchAsThereIsRoomFor) {
  std::minstd_rand random(1);  // NOLINT(cert-msc51-cpp): the same each time
  TooMuchOfWest west;
  for (std::size_t i = 0; i < Limits::kServices + 150; ++i) west.Put(i);
  for (int step = 0; step < 15; ++step) {
    const bool more = random() % 2 == 0;
    for (std::size_t i = random() % 200; i > 0; --i) {
      const std::size_t service = Limits::kServices - 200 + random() % 400;
      more ? west.Put(service) : west.Erase(service);
    }
    int told = 0;
    while (told < 5 && west.TellAgain()) ++told;
    ASSERT_LT(told, 5) << "step " << step;
    ASSERT_EQ(west.known(), std::min(west.size(), Limits::kServices)) << "step " << step;
    ASSERT_GE(west.refused(), west.size() - west.known()) << "step " << step;
    if (west.size() == west.known()) {
      ASSERT_EQ(west.refused(), 0u) << "step " << step;
    }
  }
}

TEST(SharedDirectoryTest, OwnKeysThatWereNotReadAreNotCalledBad) {
  SharedDirectory shared("east");
  shared.Put("clusters/east/vips/shop/a", "{");
  shared.Put("clusters/east/vips/shop/b", absl::StrCat(kLeftOutValue, ": too large)"));
  const std::vector<DirectoryKey> bad = shared.BadOwnKeys();
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_EQ(bad[0].name, "a");
  EXPECT_EQ(CountOf(shared, RefusalReason::kMalformed), 2u);
}

TEST(SharedDirectoryTest, WhoHasRoomAgainIsToBeToldAgain) {
  SharedDirectory shared("east");
  SharedDirectory::Changes all;
  for (std::size_t i = 0; i < Limits::kServices + 200; ++i) {
    all[absl::StrCat("clusters/west/services/shop/s", i)] = Exported(kWestWeb);
  }
  ASSERT_TRUE(shared.Apply(all, /*listed=*/false).ok());
  EXPECT_THAT(shared.TakeClustersWithRoom(), testing::IsEmpty());
  // What is written once more, or by somebody else, is no room.
  const auto some = all.begin()->first;
  ASSERT_TRUE(shared.Apply({{some, all.at(some)}, {"clusters/south/cluster", "{}"}}, false).ok());
  EXPECT_THAT(shared.TakeClustersWithRoom(), testing::IsEmpty());
  ASSERT_TRUE(shared.Apply({{some, std::nullopt}}, /*listed=*/false).ok());
  EXPECT_THAT(shared.TakeClustersWithRoom(), testing::ElementsAre("west"));
  EXPECT_EQ(shared.members().at("west").services.size(), Limits::kServices - 1);
  all.erase(some);
  ASSERT_TRUE(shared.Apply(all, /*listed=*/false).ok());
  EXPECT_EQ(shared.members().at("west").services.size(), Limits::kServices);
  EXPECT_EQ(CountOf(shared, RefusalReason::kTooMuch), 199u) << "counted anew";
  EXPECT_THAT(shared.TakeClustersWithRoom(), testing::IsEmpty());
  // A smaller record in place of a larger one is room, too; and once all is there, none is needed.
  for (int i = 0; i < 300; ++i) all.erase(all.begin());
  SharedDirectory few("east");
  ASSERT_TRUE(few.Apply(all, /*listed=*/false).ok());
  ASSERT_TRUE(few.Apply({{all.begin()->first, R"({"ports":[]})"}}, /*listed=*/false).ok());
  EXPECT_THAT(few.TakeClustersWithRoom(), testing::IsEmpty());
}

TEST(SharedDirectoryTest, SaysWhatHasChanged) {
  SharedDirectory shared = Shared(WestKeys());
  EXPECT_TRUE(shared.TakeChanged().clusters);
  shared.Put("clusters/west/services/shop/web", Exported(kWestWeb));
  shared.Put("clusters/west/services/shop/bad", "no JSON");
  shared.Put("admin/namespaces/shop", R"({"clusters":["west"]})");
  SharedDirectory::Changed changed = shared.TakeChanged();
  EXPECT_FALSE(changed.clusters);
  EXPECT_FALSE(changed.vips);
  EXPECT_THAT(changed.namespaces, testing::ElementsAre("shop"));
  EXPECT_EQ(changed.services.at("west").size(), 2u);
  shared.Put("clusters/east/vips/shop/web", R"({"vips":[]})");
  shared.Put("clusters/south/services/shop/web", Exported(kWestWeb));
  changed = shared.TakeChanged();
  EXPECT_TRUE(changed.vips);
  EXPECT_TRUE(changed.clusters) << "south is new";
}

TEST(SharedDirectoryTest, AnEtcdThatWasEmptiedTakesNothingAway) {
  SharedDirectory shared = Shared(WestKeys());
  SharedDirectory::Changes gone;
  for (const auto& [key, value] : WestKeys()) gone[key] = std::nullopt;
  EXPECT_EQ(shared.Apply(gone, /*listed=*/true).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(shared.grants().size(), 2u);
  EXPECT_EQ(shared.members().at("west").services.size(), 1u);
  // Nor does what a cluster says there meanwhile.
  const SharedDirectory::Changes fresh{{"clusters/south/cluster", "{}"}};
  EXPECT_FALSE(shared.Apply(fresh, /*listed=*/false).ok());
  EXPECT_FALSE(shared.members().contains("south"));
  // Members again: all of it counts, what was lost is lost.
  EXPECT_TRUE(shared.Apply({{"admin/clusters/south", R"({"gateways":[]})"}}, false).ok());
  EXPECT_EQ(shared.grants().size(), 1u);
  EXPECT_FALSE(shared.members().contains("west"));
  EXPECT_TRUE(shared.members().contains("south"));
}

TEST(SharedDirectoryTest, AnAdministratorMayRemoveTheLastMember) {
  SharedDirectory shared = Shared(WestKeys());
  EXPECT_TRUE(shared.Apply({{"admin/clusters/west", std::nullopt}}, /*listed=*/true).ok());
  EXPECT_TRUE(shared.Apply({{"admin/clusters/east", std::nullopt}}, /*listed=*/false).ok());
  EXPECT_TRUE(shared.grants().empty());
}

}  // namespace
}  // namespace tombolo::source
