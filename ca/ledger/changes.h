// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "ledger/audit.h"
#include "store/store.h"

namespace tombolo::ca {

// Tells when revocations or documents have changed, whoever changed them. A thread
// of its own asks the store; while nothing is committed that is one small question
// each interval. Destroying it ends the thread, after a call that is under way.
class Changes {
 public:
  struct Options {
    Duration interval = std::chrono::milliseconds(250);
  };
  struct Change {
    bool revocations = false, documents = false;
    AuditHead head;  // the log's end: what is read from now on has at least this
  };
  // Called on that thread: with a Change, first when the store has been seen for
  // the first time (both are true), or with an error when the store begins to
  // fail, and with a Change, perhaps of nothing, once it no longer does. Nothing is
  // lost while it fails.
  using Listener = std::function<void(const absl::StatusOr<Change>&)>;

  Changes(std::shared_ptr<Store> store, Options options, Listener listener);
  ~Changes();

 private:
  void Work();
  absl::Status Poll();

  const std::shared_ptr<Store> store_;
  const Options options_;
  const Listener listener_;
  std::int64_t revision_ = -1;
  AuditHead seen_{.sequence = -1, .digest = {}, .revocation = -1, .document = -1};
  bool failing_ = false;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;     // last: it uses the others
};

}  // namespace tombolo::ca
