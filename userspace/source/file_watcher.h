// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/time.h"

namespace tombolo::source {

// Says when files, or anything below directories, have changed.
//
// Paths are looked up anew each time and no descriptor is held: editors and
// Kubernetes ConfigMaps replace files by rename, the latter by swapping the
// symbolic link "..data" beside them. Neither the files nor their directories need
// to exist yet. inotify makes it prompt; looking again every kLookAgain makes it
// certain (network file systems, a parent that was replaced, no inotify left).
//
// Used on the thread that runs `io`. Destroy it only when no Changed() is pending.
class FileWatcher {
 public:
  static constexpr Duration kQuiet = std::chrono::milliseconds(100);
  static constexpr Duration kMaxDelay = std::chrono::seconds(1);  // however busy the directory is
  static constexpr Duration kLookAgain = std::chrono::seconds(5);
  static constexpr int kMaxDepth = 4;  // of directories below a watched one
  static constexpr std::size_t kMaxFiles = 65536;

  static absl::StatusOr<std::unique_ptr<FileWatcher>> Create(asio::io_context& io);
  FileWatcher(const FileWatcher&) = delete;
  FileWatcher& operator=(const FileWatcher&) = delete;

  // Replaces what is watched. Call it before reading the files, so that no change
  // can fall between; changes are those since this call.
  void Watch(std::vector<std::string> files, std::vector<std::string> directories);

  // Returns OK once something has changed since Watch() or the last OK, and has
  // then been quiet for kQuiet. Cancelled after Cancel(). One at a time.
  Awaitable<absl::Status> Changed();
  // Ends a pending Changed().
  void Cancel();

  // OK, or why inotify does not cover everything (fs.inotify.max_user_watches):
  // changes are then seen after up to kLookAgain.
  const absl::Status& inotify_status() const { return inotify_status_; }

 private:
  // What stat() tells two versions of a file apart by. All zero: not there.
  using Print = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t, std::int64_t>;
  using Prints = std::map<std::string, Print>;

  FileWatcher(asio::io_context& io, int inotify);
  Prints Look();
  void LookAtFile(const std::string& path, Prints& prints);
  void LookBelow(const std::string& directory, int depth, Prints& prints);
  void AddWatchesFor(const std::string& path);
  void AddWatch(const std::string& directory);
  Awaitable<bool> WaitForEvents(MonotonicTime until);
  bool Drain();

  asio::posix::stream_descriptor inotify_;
  asio::steady_timer timer_;
  bool cancelled_ = false;
  bool pending_ = false;
  std::vector<std::string> files_;
  std::vector<std::string> directories_;
  Prints prints_;
  absl::flat_hash_set<int> watches_;  // inotify's watch descriptors
  absl::flat_hash_set<int> wanted_;   // of the look that is under way
  absl::Status inotify_status_;
};

}  // namespace tombolo::source
