// SPDX-License-Identifier: Apache-2.0
// DirectoryImport, which keeps what a change does not touch, says what ImportDirectory() says.
#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "source/directory_import.h"
#include "unit/source/shared_mesh.h"

namespace tombolo::source {
namespace {

using FilePtr = DirectoryImport::FilePtr;

FilePtr Indexed(std::shared_ptr<mesh::Snapshot> file) {
  EXPECT_TRUE(file->Index().ok());
  return file;
}

std::string IdentityOf(const std::string& cluster, const std::string& ns) {
  return absl::StrCat("spiffe://td/cluster/", cluster, "/ns/", ns, "/sa/web");
}

// Draws changes of one key after the other, of few keys, so that they meet.
class Changes {
 public:
  struct Change {
    std::string key;
    std::optional<std::string> value;  // none: the key is deleted
  };

  explicit Changes(unsigned seed) : random_(seed) {}

  std::size_t Below(std::size_t size) { return random_() % size; }

  Change Next() {
    Change change = NextPut();
    if (Below(4) == 0) change.value.reset();
    return change;
  }

 private:
  Change NextPut() {
    const std::string cluster = One({"west", "north", "south", "east"}), ns = One({"shop", "pay"});
    const std::string service = absl::StrCat(ns, "/", One({"web", "api", "local"}));
    const std::string own = absl::StrCat("clusters/", cluster);
    switch (Below(8)) {
      case 0:
        return {absl::StrCat("admin/clusters/", cluster),
                One({R"({"gateways":["203.0.113.0/24"]})",
                     R"({"gateways":["203.0.113.0/28"],"draining":true})",
                     R"({"gateways":[],"via":["west","east"]})"})};
      case 1:
        return {absl::StrCat("admin/namespaces/", ns),
                One({R"({"clusters":["west","north"]})", R"({"clusters":["south"]})",
                     R"({"clusters":["east","west","north","south"]})"})};
      case 2:
        return {absl::StrCat(own, "/gateways/", One({"g1", "g2"})),
                One({R"({"address":"203.0.113.10:15443"})", R"({"address":"203.0.113.200:15443"})",
                     R"({"via":"west"})", R"({"via":"north"})"})};
      case 3:
        return {absl::StrCat(own, "/cluster"), One({R"({"region":"eu"})", "{}", "{"})};
      case 4:
        return {absl::StrCat("clusters/east/vips/", service),
                One({R"({"vips":["10.112.0.7"]})", R"({"vips":["10.112.0.8","10.96.0.1"]})",
                     R"({"vips":["192.0.2.1"]})"})};
      default:
        return {absl::StrCat(own, "/services/", service), Record(IdentityOf(cluster, ns))};
    }
  }
  std::string Record(const std::string& identity) {
    return One({Exported(identity), Exported(identity, 80, 3), Exported(identity, 8080),
                Exported(kWestWeb), R"({"ports":[]})", R"({"ports":[{"port":9,"backends":[]}]})",
                "no JSON"});
  }
  std::string One(const std::vector<std::string>& texts) { return texts[Below(texts.size())]; }

  std::minstd_rand random_;
};

void ExpectTheSame(const Refusals& kept, const Refusals& anew) {
  ASSERT_EQ(kept.groups().size(), anew.groups().size());
  auto other = anew.groups().begin();
  for (const auto& [of, group] : kept.groups()) {
    EXPECT_EQ(of, other->first);
    EXPECT_EQ(group.count, other->second.count) << of.first << " " << Name(of.second);
    EXPECT_EQ(group.told, other->second.told);
    ++other;
  }
}

// That its indexes are of what it holds.
void ExpectFound(const mesh::Snapshot& snapshot) {
  for (const mesh::Cluster& cluster : snapshot.clusters) {
    EXPECT_EQ(snapshot.FindCluster(cluster.name), &cluster);
  }
  for (const mesh::Workload& workload : snapshot.workloads) {
    EXPECT_EQ(snapshot.FindWorkload(workload.name), &workload);
  }
  for (const mesh::Service& service : snapshot.services) {
    EXPECT_EQ(snapshot.FindService(service.FullName()), &service);
    for (const net::IpAddress& vip : service.vips) {
      for (const mesh::ServicePort& port : service.ports) {
        const mesh::ServiceRef found = snapshot.FindVip({vip, port.port});
        EXPECT_EQ(found.service, &service);
        EXPECT_EQ(found.port, &port);
      }
    }
  }
  for (std::uint32_t i = 0; i < snapshot.allow.size(); ++i) {
    const auto rules = snapshot.FindRules(snapshot.allow[i].service, snapshot.allow[i].from);
    EXPECT_NE(std::find(rules.begin(), rules.end(), i), rules.end());
  }
}

void ExpectTheSame(const ImportedDirectory& kept, const mesh::Snapshot& file,
                   const SharedDirectory& shared) {
  const absl::StatusOr<ImportedDirectory> anew = ImportDirectory(file, shared);
  ASSERT_TRUE(anew.ok()) << anew.status();
  EXPECT_TRUE(kept.snapshot->SaysTheSame(*anew->snapshot));
  ExpectTheSame(kept.refusals, anew->refusals);
  ExpectFound(*kept.snapshot);
  for (const char* gone : {"pay/gone", "shop/api", "pay/web"}) {
    EXPECT_EQ(kept.snapshot->FindService(gone) == nullptr,
              anew->snapshot->FindService(gone) == nullptr);
  }
}

// East's, with a rule for one service more, and a cluster that is reached via another.
FilePtr OtherFile() {
  auto file = EastFile();
  file->allow.push_back({.from = "spiffe://td/*", .service = "pay/api", .ports = {}});
  file->clusters.push_back({.name = "south", .gateways = {{.name = "g1", .via = "west"}}});
  auto& endpoint = file->services[0].ports[0].endpoints.emplace_back();
  endpoint.cluster = "south";
  endpoint.identity = *SpiffeId::Parse(IdentityOf("south", "shop"));
  return Indexed(std::move(file));
}

// West's, and a cluster that has more gateways than others remember.
Keys WithTooMuch() {
  Keys keys = WestKeys();
  for (std::size_t i = 0; i < DirectoryLimits::kGateways + 5; ++i) {
    keys[absl::StrCat("clusters/north/gateways/h", i)] =
        absl::StrCat(R"({"address":"203.0.113.20:)", i + 1, R"("})");
  }
  return keys;
}

class RandomChanges : public testing::TestWithParam<unsigned> {};

TEST_P(RandomChanges, LeadToTheSameAsAllAnew) {
  const std::vector<FilePtr> files = {Indexed(EastFile()), OtherFile()};
  FilePtr file = files[0];
  Changes changes(GetParam());
  const Keys first = WithTooMuch();
  SharedDirectory shared = Shared(first);
  DirectoryImport import;
  mesh::SnapshotPtr before;
  for (int step = 0; step < 150; ++step) {
    const FilePtr last_file = file;
    if (changes.Below(40) == 0) file = files[changes.Below(2)];
    SCOPED_TRACE(absl::StrCat("step ", step));
    for (std::size_t i = changes.Below(4); i > 0; --i) {
      const auto [key, value] = changes.Next();
      value ? shared.Put(key, *value) : shared.Erase(key);
    }
    if (changes.Below(10) == 0) {
      const std::string key = absl::StrCat("clusters/north/gateways/h", changes.Below(80));
      const auto known = first.find(key);
      known != first.end() && changes.Below(2) == 0 ? shared.Put(key, known->second)
                                                    : shared.Erase(key);
    }
    const SharedDirectory::Changed changed = shared.TakeChanged();
    const auto kept = import.Run(file, shared, changed);
    ASSERT_TRUE(kept.ok()) << kept.status();
    ASSERT_NO_FATAL_FAILURE(ExpectTheSame(*kept, *file, shared));
    if (before != nullptr && file == last_file && !changed.clusters && changed.namespaces.empty()) {
      EXPECT_TRUE(kept->snapshot->clusters.Shares(before->clusters));
      EXPECT_TRUE(kept->snapshot->workloads.Shares(before->workloads));
    }
    before = kept->snapshot;
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(DirectoryImport, RandomChanges, testing::Range(0u, 40u));

TEST(DirectoryImportTest, SharesWhatAChangeDoesNotTouch) {
  const FilePtr file = Indexed(EastFile());
  SharedDirectory shared = Shared(WestKeys());
  DirectoryImport import;
  const auto before = import.Run(file, shared, shared.TakeChanged());
  ASSERT_TRUE(before.ok()) << before.status();
  shared.Put("clusters/west/services/shop/web", Exported(kWestWeb, 80, 5));
  const auto after = import.Run(file, shared, shared.TakeChanged());
  ASSERT_TRUE(after.ok()) << after.status();
  const mesh::Snapshot &was = *before->snapshot, &is = *after->snapshot;
  EXPECT_EQ(is.FindService("shop/web")->ports[0].endpoints[0].members, 5u);
  EXPECT_EQ(was.FindService("shop/web")->ports[0].endpoints[0].members, 2u);
  EXPECT_EQ(is.FindService("shop/local"), was.FindService("shop/local"));
  EXPECT_EQ(is.FindService("shop/local"), file->FindService("shop/local"));
  EXPECT_TRUE(is.clusters.Shares(was.clusters));
  EXPECT_TRUE(is.workloads.Shares(file->workloads));
  EXPECT_TRUE(is.allow.Shares(file->allow));
}

TEST(DirectoryImportTest, SharesItAlsoAfterAChangeOfClusters) {
  const FilePtr file = Indexed(EastFile());
  SharedDirectory shared = Shared(WestKeys());
  shared.Put("admin/clusters/south", R"({"gateways":["198.51.100.0/24"]})");
  DirectoryImport import;
  const auto change = [&](const std::string& key, const std::string& value) {
    shared.Put(key, value);
    const auto imported = import.Run(file, shared, shared.TakeChanged());
    EXPECT_TRUE(imported.ok()) << imported.status();
    return mesh::SnapshotPtr(imported->snapshot);
  };
  const auto web = [](int endpoints) { return Exported(kWestWeb, 80, endpoints); };
  const auto first = change("clusters/west/services/shop/web", web(3));
  const auto moved =
      change("clusters/west/gateways/g1", R"({"address":"203.0.113.11:15443","zone":"a"})");
  EXPECT_FALSE(moved->clusters.Shares(first->clusters));
  EXPECT_EQ(moved->FindService("shop/web"), first->FindService("shop/web"));
  const auto after = change("clusters/west/services/shop/web", web(4));
  EXPECT_TRUE(after->clusters.Shares(moved->clusters));
  EXPECT_TRUE(after->workloads.Shares(file->workloads));
  EXPECT_EQ(after->FindCluster("west"), &std::as_const(*after).clusters[2]);

  // And what administrators grant is there once, however often it is looked at.
  const auto grants = [](const mesh::SnapshotPtr& of, const char* cluster) {
    return *of->FindCluster(cluster)->grants;
  };
  EXPECT_TRUE(grants(moved, "west").Shares(grants(first, "west")));
  EXPECT_TRUE(grants(moved, "west").Shares(grants(moved, "south")));
  const auto granted = change("admin/namespaces/pay", R"({"clusters":["south"]})");
  EXPECT_FALSE(grants(granted, "west").Shares(grants(moved, "west")));
  EXPECT_TRUE(granted->FindCluster("south")->MayServe("pay"));
  EXPECT_FALSE(granted->FindCluster("west")->MayServe("pay"));
  const mesh::SnapshotPtr again = change("admin/namespaces/pay", R"({"clusters":["south"]})");
  EXPECT_EQ(again, granted);
}

TEST(DirectoryImportTest, ReturnsTheLastSnapshotIfItWouldSayTheSame) {
  const FilePtr file = Indexed(EastFile());
  SharedDirectory shared = Shared(WestKeys());
  DirectoryImport import;
  const auto before = import.Run(file, shared, shared.TakeChanged());
  // Written again as it was; and a service that no rule is about.
  shared.Put("clusters/west/services/shop/web", Exported(kWestWeb));
  shared.Put("clusters/west/services/shop/other", Exported(kWestWeb));
  const auto after = import.Run(file, shared, shared.TakeChanged());
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(after->snapshot, before->snapshot);
}

TEST(DirectoryImportTest, NeedsNoImportsInTheFile) {
  auto file = EastFile();
  file->imports.reset();
  file->allow.pop_back();  // of shop/web, which the file does not have
  ASSERT_TRUE(file->Index().ok());
  Keys keys = WestKeys();
  keys.erase("clusters/west/gateways/g1");
  keys["clusters/west/services/shop/local"] = Exported(kWestWeb);
  const auto imported = ImportDirectory(*file, Shared(keys));
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->snapshot->FindService("shop/local")->ports[0].endpoints.size(), 2u);
}

}  // namespace
}  // namespace tombolo::source
