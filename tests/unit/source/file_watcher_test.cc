// SPDX-License-Identifier: Apache-2.0
#include "source/file_watcher.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "base/task_group.h"
#include "unit/base/run.h"
#include "unit/source/temp_dir.h"

namespace tombolo::source {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

class FileWatcherTest : public testing::Test {
 protected:
  FileWatcherTest() : watcher_(*FileWatcher::Create(io_)) {}
  ~FileWatcherTest() override { EXPECT_TRUE(watcher_->inotify_status().ok()); }

  // True when Changed() ends with OK well before the periodic look would see it.
  bool Notices() { return Wait(FileWatcher::kLookAgain / 2); }
  // True when nothing is reported for a while.
  bool StaysQuiet() { return !Wait(milliseconds(400)); }

  asio::io_context io_;
  std::unique_ptr<FileWatcher> watcher_;
  TempDir dir_;

 private:
  static Awaitable<void> Store(FileWatcher& watcher, std::optional<absl::Status>& result) {
    result = co_await watcher.Changed();
  }
  static Awaitable<void> WaitAndCancel(FileWatcher& watcher, Duration limit,
                                       std::optional<absl::Status>& result) {
    TaskGroup tasks(co_await asio::this_coro::executor);
    tasks.Spawn(Store(watcher, result));
    const MonotonicTime until = After(limit);
    while (!result.has_value() && std::chrono::steady_clock::now() < until) {
      co_await Sleep(milliseconds(5));
    }
    if (!result.has_value()) watcher.Cancel();
    co_await tasks.Join();
  }
  bool Wait(Duration limit) {
    std::optional<absl::Status> result;
    RunToEnd(io_, WaitAndCancel(*watcher_, limit, result));
    EXPECT_TRUE(result->ok() || absl::IsCancelled(*result)) << *result;
    return result->ok();
  }
};

TEST_F(FileWatcherTest, NoticesAWriteInPlace) {
  const std::string file = dir_.Write("a.yaml", "1");
  watcher_->Watch({file}, {});
  EXPECT_TRUE(StaysQuiet());
  dir_.Write("a.yaml", "2 ");
  EXPECT_TRUE(Notices());
  EXPECT_TRUE(StaysQuiet());
}

TEST_F(FileWatcherTest, NoticesEveryReplacement) {
  const std::string file = dir_.Write("a.yaml", "1");
  watcher_->Watch({file}, {});
  for (int i = 0; i < 3; ++i) {
    dir_.Replace("a.yaml", "2");
    EXPECT_TRUE(Notices());
  }
}

TEST_F(FileWatcherTest, ChangesBetweenTwoCallsAreNotLost) {
  const std::string file = dir_.Write("a.yaml", "1");
  watcher_->Watch({file}, {});
  dir_.Replace("a.yaml", "2");
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_TRUE(Notices());
}

TEST_F(FileWatcherTest, NoticesAConfigMapSwap) {
  dir_.Write("..v1/a.yaml", "1");
  dir_.Write("..v2/a.yaml", "2");
  fs::create_symlink("..v1", dir_.Path("..data"));
  fs::create_symlink("..data/a.yaml", dir_.Path("a.yaml"));
  watcher_->Watch({dir_.Path("a.yaml")}, {});
  EXPECT_TRUE(StaysQuiet());
  fs::create_symlink("..v2", dir_.Path("..data_tmp"));
  fs::rename(dir_.Path("..data_tmp"), dir_.Path("..data"));
  fs::remove_all(dir_.Path("..v1"));
  EXPECT_TRUE(Notices());
  EXPECT_TRUE(StaysQuiet());
  dir_.Replace("..v2/a.yaml", "3");  // also where the link leads now
  EXPECT_TRUE(Notices());
}

TEST_F(FileWatcherTest, NoticesRemovalAndReturn) {
  const std::string file = dir_.Write("a.yaml", "1");
  watcher_->Watch({file}, {});
  fs::remove(file);
  EXPECT_TRUE(Notices());
  dir_.Write("a.yaml", "1");
  EXPECT_TRUE(Notices());
}

TEST_F(FileWatcherTest, NoticesAFileWhoseDirectoryComesLater) {
  watcher_->Watch({dir_.Path("x/y/a.yaml")}, {});
  EXPECT_TRUE(StaysQuiet());
  dir_.Write("x/y/a.yaml", "1");
  EXPECT_TRUE(Notices());
  dir_.Replace("x/y/a.yaml", "2");
  EXPECT_TRUE(Notices());
}

TEST_F(FileWatcherTest, NeighboursAreIgnored) {
  const std::string file = dir_.Write("a.yaml", "1");
  watcher_->Watch({file}, {});
  dir_.Write("b.yaml", "1");
  EXPECT_TRUE(StaysQuiet());
}

TEST_F(FileWatcherTest, SeveralFilesInOneQuietPeriodAreOneChange) {
  const std::string a = dir_.Write("a.yaml", "1");
  const std::string b = dir_.Write("b.yaml", "1");
  watcher_->Watch({a, b}, {});
  dir_.Replace("a.yaml", "2");
  dir_.Replace("b.yaml", "2");
  EXPECT_TRUE(Notices());
  EXPECT_TRUE(StaysQuiet());
}

TEST_F(FileWatcherTest, NoticesAnythingBelowADirectory) {
  fs::create_directory(dir_.Path("svids"));
  watcher_->Watch({}, {dir_.Path("svids")});
  EXPECT_TRUE(StaysQuiet());
  dir_.Write("svids/shop/web/svid.pem", "1");
  EXPECT_TRUE(Notices());
  dir_.Replace("svids/shop/web/svid.pem", "2");
  EXPECT_TRUE(Notices());
  fs::remove_all(dir_.Path("svids/shop"));
  EXPECT_TRUE(Notices());
  EXPECT_TRUE(StaysQuiet());
}

TEST_F(FileWatcherTest, ADirectoryMayComeLater) {
  watcher_->Watch({}, {dir_.Path("later/svids")});
  EXPECT_TRUE(StaysQuiet());
  dir_.Write("later/svids/shop/web/svid.pem", "1");
  EXPECT_TRUE(Notices());
}

TEST_F(FileWatcherTest, WatchReplacesWhatWasWatched) {
  const std::string a = dir_.Write("a/a.yaml", "1");
  const std::string b = dir_.Write("b/b.yaml", "1");
  watcher_->Watch({a}, {});
  watcher_->Watch({b}, {});
  dir_.Replace("a/a.yaml", "2");
  EXPECT_TRUE(StaysQuiet());
  dir_.Replace("b/b.yaml", "2");
  EXPECT_TRUE(Notices());
}

// The wait is bounded although the directory never gets quiet.
TEST_F(FileWatcherTest, ABusyDirectoryIsStillReported) {
  const std::string file = dir_.Write("a.yaml", "1");
  watcher_->Watch({file}, {});
  dir_.Replace("a.yaml", "2");
  std::atomic<bool> stop = false;
  std::thread busy([&] {
    for (int i = 0; i < 2000 && !stop; ++i) {
      dir_.Write("noise", std::to_string(i));
      std::this_thread::sleep_for(milliseconds(5));
    }
  });
  EXPECT_TRUE(Notices());
  stop = true;
  busy.join();
}

}  // namespace
}  // namespace tombolo::source
