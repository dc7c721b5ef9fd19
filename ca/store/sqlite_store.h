// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "store/store.h"

namespace tombolo::ca {

// A store in one SQLite file (and its -wal and -shm), for an authority on one
// machine. Any thread may use it, one call at a time runs; several processes may
// have the same file open. Must not be carried across a fork. Destroying it
// closes the file.
class SqliteStore {
 public:
  struct Options {
    std::string path;
    // How long a call waits for other processes' transactions.
    std::chrono::milliseconds busy_timeout{5000};
  };

  // Makes the file (mode 0600) if there is none. PermissionDenied when others may
  // read or write it or it is somebody else's; FailedPrecondition when it is no
  // store, is one of a newer version, or lies where WAL does not work (a network
  // file system). Every error names the path.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const Options& options);
};

}  // namespace tombolo::ca
