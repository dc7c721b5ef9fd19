// SPDX-License-Identifier: Apache-2.0
#include "source/directory_export.h"

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "source/vip_assignment.h"
#include "unit/source/shared_mesh.h"

namespace tombolo::source {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr std::int64_t kNow = 1'764'288'000;
constexpr char kLocal[] = "clusters/east/services/shop/local";
constexpr char kWebVips[] = "clusters/east/vips/shop/web";

Publication Plan(const std::shared_ptr<mesh::Snapshot>& file, const SharedDirectory& shared,
                 std::int64_t now = kNow) {
  if (file->FindCluster("east") == nullptr) {
    EXPECT_TRUE(file->Index().ok());
  }
  const auto imported = ImportDirectory(*file, shared);
  EXPECT_TRUE(imported.ok()) << imported.status();
  return PlanPublication(*file, *imported->snapshot, shared, now);
}

// Writes it, as the publisher would.
void Carry(const Publication& publication, SharedDirectory& shared) {
  for (const auto& [key, value] : publication.puts) shared.Put(key, value);
  for (const std::string& key : publication.deletes) shared.Erase(key);
}

std::shared_ptr<mesh::Snapshot> Exporting() {
  auto file = EastFile();
  file->services[0].exported = true;
  return file;
}

TEST(DirectoryExportTest, SaysWhatTheFileExports) {
  auto file = Exporting();
  mesh::ServicePort& port = file->services[0].ports[0];
  port.endpoints.push_back(port.endpoints[0]);
  port.endpoints[1].address.port = 8081;
  port.endpoints[1].weight = 5;
  port.endpoints.push_back(port.endpoints[0]);
  port.endpoints[2].address.port = 8082;
  port.endpoints[2].ready = false;
  SharedDirectory shared = Shared(WestKeys());
  const Publication plan = Plan(file, shared);
  EXPECT_THAT(plan.problems, IsEmpty());
  EXPECT_THAT(plan.deletes, IsEmpty());
  EXPECT_THAT(plan.puts,
              UnorderedElementsAre(Pair("clusters/east/cluster", R"({"region":"eu-east"})"),
                                   Pair(kLocal, R"({"ports":[{"port":80,"backends":[{"identity":)"
                                                R"("spiffe://td/cluster/east/ns/shop/sa/local",)"
                                                R"("endpoints":3,"ready":2,"weight":6}]}]})")));
  Carry(plan, shared);
  EXPECT_TRUE(Plan(file, shared).empty());
}

TEST(DirectoryExportTest, OthersTakeWhatItSays) {
  SharedDirectory shared("east");
  Carry(Plan(Exporting(), Shared(WestKeys())), shared);
  Keys keys = WestKeys();
  shared.ForEach([&](const std::string& key, std::string value) { keys[key] = value; });
  keys["clusters/east/gateways/g1"] = R"({"address":"192.0.2.1:15443"})";
  auto file = EastFile();
  file->clusters[0].name = "west";
  for (mesh::Workload& workload : file->workloads) workload.cluster = "west";
  file->services.clear();
  const auto imported = ImportDirectory(*file, Shared(keys, "west"));
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_THAT(imported->refusals.groups(), IsEmpty());
  const mesh::Service* local = imported->snapshot->FindService("shop/local");
  ASSERT_NE(local, nullptr);
  EXPECT_EQ(local->FindPort(80)->endpoints.at(0).cluster, "east");
}

TEST(DirectoryExportTest, OnlyWhatIsMarkedGrantedAndHere) {
  SharedDirectory shared = Shared(WestKeys());
  EXPECT_FALSE(Plan(EastFile(), shared).puts.contains(kLocal));  // not marked

  auto empty = Exporting();
  empty->services[0].ports[0].endpoints.clear();
  EXPECT_FALSE(Plan(empty, shared).puts.contains(kLocal));

  shared.Put("admin/namespaces/shop", R"({"clusters":["west"]})");
  const Publication plan = Plan(Exporting(), shared);
  EXPECT_FALSE(plan.puts.contains(kLocal));
  EXPECT_THAT(plan.problems, ElementsAre(HasSubstr("granted namespace 'shop'")));
}

TEST(DirectoryExportTest, WhatOthersWouldNotRememberIsSaid) {
  auto file = Exporting();
  const mesh::Endpoint one = file->services[0].ports[0].endpoints[0];
  for (std::size_t b = 0; b < DirectoryLimits::kBackendsOfPort; ++b) {
    mesh::Workload workload = file->workloads[1];
    workload.service_account = absl::StrCat("s", b);
    workload.name = absl::StrCat("east/s", b);
    workload.id = *SpiffeId::ForWorkload("td", "east", "shop", workload.service_account);
    file->workloads.push_back(workload);
  }
  std::size_t backends = 1;
  for (int i = 0; backends <= DirectoryLimits::kBackends; ++i) {
    mesh::Service service = file->services[0];
    service.name = absl::StrCat("large", i);
    service.vips = {*net::IpAddress::Parse(absl::StrCat("10.97.", i, ".1"))};
    service.ports[0].endpoints.clear();
    for (std::size_t b = 0; b < DirectoryLimits::kBackendsOfPort; ++b, ++backends) {
      mesh::Endpoint endpoint = one;
      endpoint.workload = file->workloads[b + 2].name;
      endpoint.identity = file->workloads[b + 2].id;
      service.ports[0].endpoints.push_back(endpoint);
    }
    file->services.push_back(std::move(service));
  }
  const std::size_t services = file->services.size();
  const Publication plan = Plan(file, Shared(WestKeys()));
  EXPECT_THAT(plan.problems, ElementsAre(HasSubstr("50000 backends")));
  EXPECT_EQ(plan.puts.size(), services) << "all but one, and the cluster";
}

TEST(DirectoryExportTest, ChangesAreAsSmallAsTheyCanBe) {
  SharedDirectory shared = Shared(WestKeys());
  Carry(Plan(Exporting(), shared), shared);
  auto file = Exporting();
  file->services[0].ports[0].endpoints[0].ready = false;
  Publication plan = Plan(file, shared);
  EXPECT_EQ(plan.puts.size(), 1u);
  EXPECT_THAT(plan.puts[kLocal], HasSubstr(R"("ready":0,"weight":0)"));
  Carry(plan, shared);
  plan = Plan(EastFile(), shared);
  EXPECT_THAT(plan.puts, IsEmpty());
  EXPECT_THAT(plan.deletes, ElementsAre(kLocal));
}

TEST(DirectoryExportTest, WhatItCannotReadOfItsOwnIsReplacedOrRemoved) {
  SharedDirectory shared = Shared(WestKeys());
  Carry(Plan(Exporting(), shared), shared);
  shared.Put(kLocal, R"({"ports":7})");
  shared.Put("clusters/east/services/shop/old", "?");
  shared.Put("clusters/east/gateways/g7", "?");  // that gateway's
  shared.Put("clusters/west/services/shop/old", "?");
  const Publication plan = Plan(Exporting(), shared);
  EXPECT_EQ(plan.puts.size(), 1u);
  EXPECT_TRUE(plan.puts.contains(kLocal));
  EXPECT_THAT(plan.deletes, ElementsAre("clusters/east/services/shop/old"));
}

TEST(DirectoryExportTest, ImportedServicesGetVipsThatStay) {
  Keys keys = WestKeys();
  keys.erase(kWebVips);
  SharedDirectory shared = Shared(keys);
  Publication plan = Plan(EastFile(), shared);
  ASSERT_TRUE(plan.puts.contains(kWebVips));
  const std::string given = plan.puts[kWebVips];
  EXPECT_EQ(Plan(EastFile(), Shared(keys)).puts[kWebVips],
            given);  // a restart before it is written
  Carry(plan, shared);
  EXPECT_TRUE(Plan(EastFile(), shared).empty());  // and after
  const auto imported = ImportDirectory(*EastFile(), shared);
  EXPECT_EQ(imported->snapshot->FindService("shop/web")->vips.size(), 1u);

  // Nobody exports it for a while: the VIP waits.
  const std::string key = "clusters/west/services/shop/web";
  shared.Erase(key);
  plan = Plan(EastFile(), shared);
  EXPECT_THAT(plan.deletes, IsEmpty());
  EXPECT_THAT(plan.puts[kWebVips], HasSubstr(absl::StrCat(R"("unused_since":)", kNow)));
  Carry(plan, shared);
  EXPECT_TRUE(Plan(EastFile(), shared, kNow + VipAssignment::kVipKept).empty());
  EXPECT_THAT(Plan(EastFile(), shared, kNow + VipAssignment::kVipKept + 1).deletes,
              ElementsAre(kWebVips));
  shared.Put(key, Exported(kWestWeb));
  EXPECT_EQ(Plan(EastFile(), shared, kNow + 100).puts[kWebVips], given);
}

TEST(DirectoryExportTest, AServiceOfTheFileNeedsNoVip) {
  Keys keys = WestKeys();
  keys["clusters/west/services/shop/local"] = Exported(kWestWeb);
  EXPECT_FALSE(Plan(EastFile(), Shared(keys)).puts.contains("clusters/east/vips/shop/local"));
}

using Name = VipAssignment::Name;

VipAssignment Ranges(std::initializer_list<const char*> ranges) {
  VipAssignment assignment;
  for (const char* range : ranges) assignment.ranges.push_back(*net::Prefix::Parse(range));
  return assignment;
}

std::set<Name> Services(int count) {
  std::set<Name> names;
  for (int i = 0; i < count; ++i) names.emplace("shop", absl::StrCat("s", i));
  return names;
}

TEST(VipAssignmentTest, OneOfEachFamilyAndNoneTwice) {
  VipAssignment assignment = Ranges({"10.112.0.0/24", "fd00:112::/64"});
  for (int i = 1; i < 50; ++i) {
    assignment.taken.insert(*net::IpAddress::Parse(absl::StrCat("10.112.0.", i)));
  }
  const auto result = assignment.Assign({}, Services(205), kNow);
  EXPECT_THAT(result.no_room, IsEmpty());
  std::set<net::IpAddress> all;
  for (const auto& [name, record] : result.records) {
    ASSERT_EQ(record.vips.size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(assignment.ranges[i].Contains(record.vips[i]));
      EXPECT_FALSE(assignment.taken.contains(record.vips[i]));
      EXPECT_TRUE(all.insert(record.vips[i]).second);
    }
  }
  EXPECT_FALSE(all.contains(*net::IpAddress::Parse("10.112.0.0")));
  EXPECT_FALSE(all.contains(*net::IpAddress::Parse("10.112.0.255")));
}

TEST(VipAssignmentTest, ANewServiceMovesNoOther) {
  const VipAssignment assignment = Ranges({"10.112.0.0/26"});
  const auto before = assignment.Assign({}, Services(30), kNow);
  const auto after = assignment.Assign(before.records, Services(60), kNow);
  for (const auto& [name, record] : before.records) EXPECT_EQ(after.records.at(name), record);
  EXPECT_EQ(after.records.size(), 60u);
}

TEST(VipAssignmentTest, AFullRangeIsSaidAndTheNextIsUsed) {
  const auto full = Ranges({"10.112.0.0/29"}).Assign({}, Services(8), kNow);
  EXPECT_EQ(full.records.size(), 6u);
  EXPECT_EQ(full.no_room.size(), 2u);
  const auto two = Ranges({"10.112.0.0/29", "10.113.0.4/32"}).Assign({}, Services(8), kNow);
  EXPECT_EQ(two.records.size(), 7u);
  EXPECT_EQ(two.no_room.size(), 1u);
}

TEST(VipAssignmentTest, WhatIsNoLongerOfTheRangesIsReplaced) {
  const auto before = Ranges({"10.112.0.0/24"}).Assign({}, Services(5), kNow);
  VipAssignment assignment = Ranges({"10.113.0.0/24"});
  const auto moved = assignment.Assign(before.records, Services(5), kNow);
  for (const auto& [name, record] : moved.records) {
    ASSERT_EQ(record.vips.size(), 1u);
    EXPECT_TRUE(assignment.ranges[0].Contains(record.vips[0]));
  }
  // So is one that the file has taken.
  assignment.taken = {moved.records.begin()->second.vips[0]};
  const auto again = assignment.Assign(moved.records, Services(5), kNow);
  EXPECT_NE(again.records.begin()->second, moved.records.begin()->second);
  EXPECT_EQ(again.records.size(), 5u);
}

}  // namespace
}  // namespace tombolo::source
