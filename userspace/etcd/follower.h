// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/time.h"
#include "etcd/bounds.h"
#include "etcd/client.h"

namespace tombolo::etcd {

// Keeps up with all keys below one prefix: lists them, then watches. On a dead, hung or
// cut-off member it goes on at another one from the revision that it has; after a
// compaction, an outage of all of them, or a restore from a backup it lists again and
// tells what has changed. It gives up never, and tries again with a growing, random delay.
//
// Owns its client and one thread, on which both callbacks run, one at a time. A callback
// must not destroy the Follower. Destroying it ends calls that are under way and waits for
// the thread; after that no callback runs.
class Follower {
 public:
  // From one state of the prefix that there was to a later one, whole transactions.
  struct Update {
    std::int64_t revision = 0;  // of the later state; lower than before after a restore
    bool listed = false;        // by a list: the first one, or what a break has made necessary
    // Keys without the prefix. No value: there is no such key any more. Only what is
    // different from before, or was told again; empty only when `listed`.
    std::map<std::string, std::optional<std::string>> changes{};
  };
  // What it knows of the state that the updates add up to.
  struct State {
    bool in_sync = false;           // a member that a majority follows has confirmed it lately
    WallTime since{};               // of this value of in_sync
    absl::Status error{};           // why it is not in sync; OK at the beginning
    std::int64_t revision = 0;      // 0: nothing has been listed yet
    std::size_t keys = 0;           //
    std::string endpoint{};         // whom it watches
    std::uint64_t listings = 0;     // since the start
    std::uint64_t resumptions = 0;  // of a watch, without a list
  };

  struct Options {
    Client::Options client;
    std::string prefix;                        // of the keys
    Duration probe = std::chrono::seconds(5);  // how often it asks its member for a sign of life
    Duration silence =
        std::chrono::minutes(12);  // of a watch: etcd tells its progress every 10 min
    Duration first_delay = std::chrono::milliseconds(100);  // after a failure of all members
    Duration max_delay = std::chrono::seconds(10);
    // What is kept of each writer, and of each key: what is more is left out.
    Bounds bounds{};
    // Of all keys and values that are kept (Store). With more the last good state stays
    // (ResourceExhausted).
    std::size_t max_bytes = 256 << 20;
    // How soon after the last one a writer of whom something was left out is read again, when
    // there is room for it; one after the other.
    Duration read_again = std::chrono::seconds(10);
    // Asked on the thread once in a while (`probe`): beginnings of keys; all that begins so is told
    // again, for somebody who has not kept it. Empty: nobody.
    std::function<std::vector<std::string>()> tell_again{};
  };
  using OnUpdate = std::function<void(Update update)>;
  using OnState = std::function<void(const State& state)>;  // when in_sync or error changes

  // `on_state` may be empty.
  Follower(Options options, OnUpdate on_update, OnState on_state);
  ~Follower();

  State state() const;  // any thread

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace tombolo::etcd
