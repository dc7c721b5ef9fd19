// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/time.h"
#include "mesh/snapshot.h"
#include "source/directory_export.h"
#include "source/directory_import.h"
#include "source/shared_directory.h"

namespace tombolo::source {

// Makes snapshots of the own cluster's file and what a directory in etcd says, whenever one of
// them has changed, and keeps the latter on disk, so that the next process can begin with it.
//
// A large directory takes a while, so it has a thread of its own, on which OnBuilt runs; changes
// that come meanwhile are taken together. One that comes alone is taken at once; the more often
// they come, the longer the next ones wait for each other (Options). Any thread may call.
// Destroying it waits for the thread and for a last write to the disk; OnBuilt does not run after
// that.
class DirectoryFeed {
 public:
  using FilePtr = std::shared_ptr<const mesh::Snapshot>;  // LoadDirectory()'s, of the own cluster

  struct Options {
    std::string cluster;
    std::string state{};   // a directory, made with 0700; "": nothing is kept
    bool publish = false;  // plan what the own cluster says, too
    // At least so long is between two snapshots, and twice as long as before the last one, up to
    // `longest_gap`, until nothing has changed for that long: who writes all the time makes others
    // work twice a second. And four times as long as the last one took, so that the thread is
    // busy for no more than a fifth of the time whatever it does.
    Duration gap = std::chrono::milliseconds(50);
    Duration longest_gap = std::chrono::milliseconds(500);
    Duration save_gap = std::chrono::seconds(10);  // between two writes to the disk
    Duration ask_gap = std::chrono::seconds(10);   // between two answers of AskAgain()
  };
  struct Built {
    FilePtr file;
    // The one before, if this would say the same. The receiver sets `version`.
    std::shared_ptr<mesh::Snapshot> snapshot;
    Refusals refusals;
    Publication publication;  // if that is wanted, and what etcd says now is known
  };
  using OnBuilt = std::function<void(Built)>;

  // What is worth telling about the state on disk, and what etcd says.
  struct View {
    std::optional<WallTime> kept_at;  // when what it began with was last known to be right
    bool listed = false;              // by now it has what is in etcd itself
    absl::Status state_error;         // of reading or writing the disk
    absl::Status etcd_error;          // why what etcd says was not taken
    std::size_t plans = 0;            // so often it was found out what is to be published
  };

  // Reads what is kept.
  explicit DirectoryFeed(Options options);
  ~DirectoryFeed();
  DirectoryFeed(const DirectoryFeed&) = delete;
  DirectoryFeed& operator=(const DirectoryFeed&) = delete;

  // The first one, on the caller's thread. Only before Run().
  absl::StatusOr<Built> Build(FilePtr file);
  void Run(OnBuilt on_built);

  void SetFile(FilePtr file);
  // As an etcd::Follower tells them.
  void Update(SharedDirectory::Changes changes, bool listed);
  void SetInSync(bool in_sync);
  // Beginnings of keys of which all that there is has to come by Update() once more: they are of a
  // cluster that had too much, of which something was left out, and that has less by now.
  std::vector<std::string> AskAgain();

  View view() const;

 private:
  struct Batch {
    SharedDirectory::Changes changes;
    bool listed = false;
  };

  std::string StatePath() const { return options_.state + "/directory"; }
  absl::StatusOr<SharedDirectory> ReadState();
  absl::StatusOr<Built> Make(FilePtr file);
  Publication PublicationOf(const Built& built);
  void SetPace(MonotonicTime began);
  void Save();
  void KeepFresh();
  void Loop();
  void Work(std::optional<Batch> batch, std::unique_lock<std::mutex>& lock);
  absl::Status Take(Batch batch);

  const Options options_;
  // The thread's, once that runs.
  SharedDirectory shared_;
  OnBuilt on_built_;
  DirectoryImport import_;
  // What was to be published last. It holds while file, names, grants and what the own cluster has
  // published are the same.
  struct Planned {
    FilePtr file{};
    WallTime at{};
    Publication publication{};
    mesh::SnapshotPtr seen{};
  };
  std::optional<Planned> planned_;
  bool listed_ = false;   // etcd has been read
  bool current_ = false;  // shared_ is what it says now, not what it, or the disk, said before
  bool changed_ = false;  // since the last write to the disk
  MonotonicTime next_save_{}, next_build_{};
  Duration gap_{};  // after the last one

  mutable std::mutex mutex_;
  std::condition_variable wake_;  // what follows is guarded by mutex_
  FilePtr file_;
  bool new_file_ = false;
  // What was told since the last snapshot, together: each key as it is now.
  std::optional<Batch> told_;
  std::set<std::string> with_room_;  // clusters for AskAgain()
  std::string asked_;                // it goes on after this one
  MonotonicTime next_ask_{};
  bool in_sync_ = false;
  bool stop_ = false;
  View view_;
  std::thread thread_;
};

}  // namespace tombolo::source
