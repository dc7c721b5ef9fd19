// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "ledger/ledger.h"
#include "ledger/reader.h"
#include "store/store.h"

namespace tombolo::ca {

// How long a record stays: so long after it was made, and after what it is about has expired. So
// a certificate of the longest life (24 h) is there for an hour more, whatever clocks differ by.
inline constexpr std::chrono::hours kRecordLife{25};
inline constexpr std::chrono::hours kExpiredLife{1};

// Finds what nobody needs any longer: certificates and join tokens that have expired. It follows
// the audit log, each entry once, and remembers in the store how far it has come, so that what
// there is to do does not grow with what there is. Certificates that outlive kRecordLife
// (intermediates) stay. Any number of replicas may do so at a time: whoever is too late has removed
// nothing. Used by one thread at a time.
class PruningPlanner {
 public:
  // Borrows.
  explicit PruningPlanner(Store& store) : store_(store), reader_(store) {}

  // The next changes, at most one transaction of them; nullopt when nothing is old enough. What
  // the store says; DataLoss.
  absl::StatusOr<std::optional<Pruning>> Next(WallTime now);

 private:
  Store& store_;
  const Reader reader_;
  std::int64_t passed_ = 0;  // entries up to here have nothing to remove
};

// Does so every now and then, on a thread of its own. Destroying it ends the thread, after a change
// that is under way.
class Pruner {
 public:
  struct Options {
    Duration interval = std::chrono::minutes(1);  // give or take a half
    std::function<WallTime()> now = std::chrono::system_clock::now;
  };

  // Borrows `ledger`, which is of the same store.
  Pruner(std::shared_ptr<Store> store, Ledger& ledger, Options options);
  ~Pruner();

  std::uint64_t removed() const { return removed_; }  // records, by this replica

 private:
  void Work();
  absl::StatusOr<bool> Step();
  bool WaitFor(Duration time);

  const std::shared_ptr<Store> store_;
  Ledger& ledger_;
  const Options options_;
  PruningPlanner planner_;
  std::atomic<std::uint64_t> removed_ = 0;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;     // last: it uses the others
};

}  // namespace tombolo::ca
