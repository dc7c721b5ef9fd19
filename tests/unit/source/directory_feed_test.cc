// SPDX-License-Identifier: Apache-2.0
#include "source/directory_feed.h"

#include <sys/stat.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "source/directory_archive.h"
#include "unit/source/shared_mesh.h"
#include "unit/source/temp_dir.h"

namespace tombolo::source {
namespace {

constexpr Duration kLong = std::chrono::seconds(20);

SharedDirectory::Changes All(const Keys& keys) { return {keys.begin(), keys.end()}; }

DirectoryFeed::FilePtr IndexedFile() {
  auto file = EastFile();
  EXPECT_TRUE(file->Index().ok());
  return file;
}

// What OnBuilt was given last.
class Last {
 public:
  DirectoryFeed::OnBuilt Setter() {
    return [this](DirectoryFeed::Built built) {
      const std::lock_guard lock(mutex_);
      built_ = std::make_shared<DirectoryFeed::Built>(std::move(built));
      ++count_;
      changed_.notify_all();
    };
  }

  // Until one is as `right` wants it; null after a long time.
  template <typename Right>
  std::shared_ptr<DirectoryFeed::Built> WaitFor(const Right& right) {
    std::unique_lock lock(mutex_);
    const bool there =
        changed_.wait_for(lock, kLong, [&] { return built_ != nullptr && right(*built_); });
    return there ? built_ : nullptr;
  }
  bool WaitForMore(int than) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLong, [&] { return count_ > than; });
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<DirectoryFeed::Built> built_;
  int count_ = 0;
};

bool HasWeb(const DirectoryFeed::Built& built) {
  return built.snapshot->FindService("shop/web") != nullptr;
}

DirectoryFeed::Options Quick(const std::string& state = "") {
  return {.cluster = "east",
          .state = state,
          .gap = std::chrono::milliseconds(1),
          .save_gap = std::chrono::milliseconds(1)};
}

TEST(DirectoryFeedTest, MakesSnapshotsOfFileAndEtcd) {
  Last last;
  DirectoryFeed feed(Quick());
  const auto file = IndexedFile();
  const auto first = feed.Build(file);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_FALSE(HasWeb(*first));
  feed.Run(last.Setter());
  feed.Update(All(WestKeys()), /*listed=*/true);
  const auto built = last.WaitFor(HasWeb);
  ASSERT_NE(built, nullptr);
  EXPECT_EQ(built->file, file);

  auto other = EastFile();
  other->allow.clear();
  ASSERT_TRUE(other->Index().ok());
  feed.SetFile(other);
  EXPECT_NE(last.WaitFor([&](const auto& b) { return b.file == other && !HasWeb(b); }), nullptr);

  feed.SetFile(file);
  feed.Update({{"clusters/west/gateways/g1", std::nullopt}}, /*listed=*/false);  // lease lost
  EXPECT_NE(last.WaitFor([&](const auto& b) {
    return b.file == file && b.snapshot->FindCluster("west")->gateways.empty();
  }),
            nullptr);
}

TEST(DirectoryFeedTest, GivesTheSameSnapshotWhenNothingIsDifferent) {
  Last last;
  DirectoryFeed feed(Quick());
  ASSERT_TRUE(feed.Build(IndexedFile()).ok());
  feed.Run(last.Setter());
  feed.Update(All(WestKeys()), /*listed=*/true);
  const auto first = last.WaitFor(HasWeb);
  ASSERT_NE(first, nullptr);
  // A service that nobody here has a rule about, and one that is refused.
  feed.Update({{"clusters/west/services/shop/other", Exported(kWestWeb)},
               {"clusters/west/services/none/of-theirs", Exported(kWestWeb)}},
              /*listed=*/false);
  const auto second = last.WaitFor(
      [](const DirectoryFeed::Built& built) { return !built.refusals.groups().empty(); });
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->snapshot, first->snapshot);
  feed.Update({{"clusters/west/cluster", R"({"region":"elsewhere"})"}}, /*listed=*/false);
  EXPECT_NE(last.WaitFor([&](const DirectoryFeed::Built& built) {
    return built.snapshot != first->snapshot;
  }),
            nullptr);
}

TEST(DirectoryFeedTest, PlansWhatIsPublishedIfThatIsWanted) {
  DirectoryFeed::Options options = Quick();
  options.publish = true;
  DirectoryFeed feed(options);
  Last last;
  // Not by what the disk had: that may be undone since.
  EXPECT_TRUE(feed.Build(IndexedFile())->publication.empty());
  feed.Run(last.Setter());
  feed.Update(All(WestKeys()), /*listed=*/true);
  const auto built = last.WaitFor(HasWeb);
  ASSERT_NE(built, nullptr);
  EXPECT_TRUE(built->publication.puts.contains("clusters/east/cluster"));
}

TEST(DirectoryFeedTest, PlansAnewWhatIsDifferent) {
  DirectoryFeed::Options options = Quick();
  options.publish = true;
  DirectoryFeed feed(options);
  Last last;
  const auto file = IndexedFile();
  ASSERT_TRUE(feed.Build(file).ok());
  feed.Run(last.Setter());
  Keys keys = WestKeys();
  keys.erase("clusters/east/vips/shop/web");
  keys.erase("clusters/west/services/shop/web");
  feed.Update(All(keys), /*listed=*/true);
  const std::string cluster = "clusters/east/cluster", vip = "clusters/east/vips/shop/web";
  const auto plans = [&](const std::string& key, bool wanted) {
    return last.WaitFor([&, wanted](const DirectoryFeed::Built& built) {
      return built.publication.puts.contains(key) == wanted;
    }) != nullptr;
  };
  EXPECT_TRUE(plans(cluster, true));
  // What it says is there, and undone by somebody.
  feed.Update({{cluster, R"({"region":"eu-east"})"}}, /*listed=*/false);
  EXPECT_TRUE(plans(cluster, false));
  feed.Update({{cluster, std::nullopt}}, /*listed=*/false);
  EXPECT_TRUE(plans(cluster, true));
  // Somebody else has a service more, or one less.
  feed.Update({{"clusters/west/services/shop/web", Exported(kWestWeb)}}, /*listed=*/false);
  EXPECT_TRUE(plans(vip, true));
  feed.Update({{"admin/namespaces/shop", std::nullopt}}, /*listed=*/false);
  EXPECT_TRUE(plans(vip, false));
  feed.Update({{"admin/namespaces/shop", keys.at("admin/namespaces/shop")}}, /*listed=*/false);
  EXPECT_TRUE(plans(vip, true));
  // More endpoints are nothing to it: the plan stays.
  const int before = last.count();
  const std::size_t planned = feed.view().plans;
  feed.Update({{"clusters/west/services/shop/web", Exported(kWestWeb, 80, 7)}}, /*listed=*/false);
  ASSERT_TRUE(last.WaitForMore(before));
  EXPECT_TRUE(plans(vip, true));
  EXPECT_EQ(feed.view().plans, planned);
}

TEST(DirectoryFeedTest, BeginsWithWhatTheLastOneKnew) {
  const TempDir dir;
  const std::string state = dir.Path("state");
  {
    DirectoryFeed feed(Quick(state));
    EXPECT_TRUE(feed.view().state_error.ok()) << feed.view().state_error;
    EXPECT_FALSE(feed.view().kept_at);
    Last last;
    ASSERT_TRUE(feed.Build(IndexedFile()).ok());
    feed.Run(last.Setter());
    feed.Update(All(WestKeys()), /*listed=*/true);
    ASSERT_NE(last.WaitFor(HasWeb), nullptr);
  }
  struct stat info {};
  ASSERT_EQ(stat((state + "/directory").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  DirectoryFeed feed(Quick(state));
  EXPECT_TRUE(feed.view().state_error.ok()) << feed.view().state_error;
  ASSERT_TRUE(feed.view().kept_at);
  EXPECT_LT(std::chrono::system_clock::now() - *feed.view().kept_at, std::chrono::minutes(5));
  EXPECT_FALSE(feed.view().listed);
  const auto first = feed.Build(IndexedFile());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(HasWeb(*first));
  // What is gone from etcd meanwhile goes with the first list.
  Last last;
  feed.Run(last.Setter());
  Keys keys = WestKeys();
  keys.erase("clusters/west/services/shop/web");
  feed.Update(All(keys), /*listed=*/true);
  EXPECT_NE(last.WaitFor([](const auto& built) { return !HasWeb(built); }), nullptr);
}

TEST(DirectoryFeedTest, BeginsWithoutWhatItCannotTrust) {
  const TempDir dir;
  const std::string text = Archive(Shared(WestKeys()));
  const std::string path = dir.Write("directory", text);
  const auto begin = [&] { return DirectoryFeed(Quick(dir.Path(""))).view().state_error.code(); };
  chmod(path.c_str(), 0600);
  EXPECT_EQ(begin(), absl::StatusCode::kOk);
  chmod(path.c_str(), 0666);
  EXPECT_EQ(begin(), absl::StatusCode::kPermissionDenied);
  chmod(path.c_str(), 0600);
  dir.Write("directory", text.substr(0, text.size() / 2));
  EXPECT_EQ(begin(), absl::StatusCode::kDataLoss);
  dir.Write("directory", "tombolo-directory 2\n");
  EXPECT_EQ(begin(), absl::StatusCode::kFailedPrecondition);
  DirectoryFeed feed(Quick(dir.Path("")));
  const auto first = feed.Build(IndexedFile());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_FALSE(HasWeb(*first));
}

// What was told before a list that a break has made necessary counts as much as the list.
TEST(DirectoryFeedTest, TakesTogetherWhatComesBeforeItIsReady) {
  DirectoryFeed feed(Quick());
  Last last;
  ASSERT_TRUE(feed.Build(IndexedFile()).ok());
  Keys keys = WestKeys();
  const std::string web = keys.at("clusters/west/services/shop/web");
  keys.erase("clusters/west/services/shop/web");
  feed.Update(All(keys), /*listed=*/true);
  for (int i = 0; i < 100; ++i) {
    feed.Update({{"clusters/west/services/shop/web", absl::StrCat(i)}}, /*listed=*/false);
  }
  feed.Update({{"clusters/west/services/shop/web", web}}, /*listed=*/false);
  feed.Update({{"clusters/south/cluster", "{}"}}, /*listed=*/true);
  feed.Run(last.Setter());
  EXPECT_TRUE(last.WaitForMore(0));
  const auto built = last.WaitFor([](const auto&) { return true; });
  ASSERT_NE(built, nullptr);
  EXPECT_TRUE(HasWeb(*built)) << "at once";
  EXPECT_TRUE(built->refusals.groups().contains({"south", RefusalReason::kNotAMember}));
}

// However quickly it could be: what comes all the time is taken together.
TEST(DirectoryFeedTest, IsNotKeptBusyByWhoWritesAllTheTime) {
  DirectoryFeed::Options options = Quick();
  options.longest_gap = std::chrono::milliseconds(100);
  DirectoryFeed feed(options);
  Last last;
  ASSERT_TRUE(feed.Build(IndexedFile()).ok());
  feed.Run(last.Setter());
  const MonotonicTime began = std::chrono::steady_clock::now();
  for (int i = 0; i < 16; ++i) {
    const int before = last.count();
    feed.Update({{"clusters/west/cluster", absl::StrCat(R"({"region":"r)", i, R"("})")}}, false);
    ASSERT_TRUE(last.WaitForMore(before));
  }
  // 1 ms, 2, 4, ... and 100 from the eighth on: 927. Less if the machine was so late now and then
  // that it seemed quiet, but then it was that late.
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(250));
}

TEST(DirectoryFeedTest, AsksForWhatWasLeftOutWhenThereIsRoom) {
  DirectoryFeed::Options options = Quick();
  options.ask_gap = Duration::zero();
  DirectoryFeed feed(options);
  Last last;
  ASSERT_TRUE(feed.Build(IndexedFile()).ok());
  feed.Run(last.Setter());
  SharedDirectory::Changes all = All(WestKeys());
  for (std::size_t i = 0; i < DirectoryLimits::kServices + 1; ++i) {
    all[absl::StrCat("clusters/west/services/shop/s", i)] = Exported(kWestWeb);
  }
  feed.Update(all, /*listed=*/true);
  const auto too_much = [](const DirectoryFeed::Built& built) {
    return built.refusals.groups().contains({"west", RefusalReason::kTooMuch});
  };
  ASSERT_NE(last.WaitFor(too_much), nullptr);
  EXPECT_THAT(feed.AskAgain(), testing::IsEmpty());
  const SharedDirectory::Changes two = {{"clusters/west/services/shop/s1", std::nullopt},
                                        {"clusters/west/services/shop/s2", std::nullopt}};
  const int before = last.count();
  feed.Update(two, /*listed=*/false);
  ASSERT_TRUE(last.WaitForMore(before));
  std::vector<std::string> asked;
  const MonotonicTime deadline = After(kLong);
  while (asked.empty() && std::chrono::steady_clock::now() < deadline) asked = feed.AskAgain();
  EXPECT_THAT(asked, testing::ElementsAre("clusters/west/"));
  EXPECT_THAT(feed.AskAgain(), testing::IsEmpty());
  for (const auto& [key, value] : two) all.erase(key);
  std::erase_if(all, [](const auto& entry) { return !entry.first.starts_with("clusters/west/"); });
  feed.Update(all, /*listed=*/false);
  EXPECT_NE(last.WaitFor([&](const auto& built) { return !too_much(built); }), nullptr);
}

TEST(DirectoryFeedTest, AnEmptiedEtcdIsSaid) {
  DirectoryFeed feed(Quick());
  Last last;
  ASSERT_TRUE(feed.Build(IndexedFile()).ok());
  feed.Run(last.Setter());
  feed.Update(All(WestKeys()), /*listed=*/true);
  ASSERT_NE(last.WaitFor(HasWeb), nullptr);
  SharedDirectory::Changes gone;
  for (const auto& [key, value] : WestKeys()) gone[key] = std::nullopt;
  const int before = last.count();
  feed.Update(gone, /*listed=*/true);
  EXPECT_TRUE(last.WaitForMore(before));
  EXPECT_NE(last.WaitFor(HasWeb), nullptr);
}

}  // namespace
}  // namespace tombolo::source
