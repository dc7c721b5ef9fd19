// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/time.h"
#include "etcd/follower.h"
#include "source/directory_feed.h"

namespace tombolo::directory {

// What the directory in etcd says, followed and put together with the own cluster's file.
//
// Owns a source::DirectoryFeed and an etcd::Follower with their threads. Any thread may call.
// Destroying it waits for them; OnBuilt does not run after that.
class Subscriber {
 public:
  using FilePtr = source::DirectoryFeed::FilePtr;
  using Built = source::DirectoryFeed::Built;
  using OnBuilt = source::DirectoryFeed::OnBuilt;

  struct Options {
    source::DirectoryFeed::Options feed;
    etcd::Follower::Options follower;
  };
  struct View {
    absl::Status status;  // why it may not be what etcd says now; OK while it is
    WallTime since{};     // of being, or not being, in touch with etcd
    bool listed = false;  // what is in etcd has been read; before, it is what the disk had
    std::optional<WallTime> kept_at;  // when that was last known to be right
    absl::Status state_error;         // of the disk
    std::int64_t revision = 0;
    std::string endpoint;
  };

  // Reads what is kept on disk; asks nobody yet.
  explicit Subscriber(Options options);

  // The first snapshot: of the file, and of what is kept on disk.
  absl::StatusOr<Built> Begin(FilePtr file) { return feed_.Build(std::move(file)); }
  // Follows etcd; each later snapshot is told on a thread of its own. Once, after Begin().
  void Run(OnBuilt on_built);
  // Leads to another snapshot.
  void SetFile(FilePtr file) { feed_.SetFile(std::move(file)); }

  View view() const;

 private:
  source::DirectoryFeed feed_;
  const etcd::Follower::Options options_;
  std::unique_ptr<etcd::Follower> follower_;  // its thread calls feed_: destroyed first
};

}  // namespace tombolo::directory
