// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tombolo::ca {

// A key with its value, and the store's revision of its last change (> 0).
struct Stored {
  std::string key, value;
  std::int64_t revision = 0;
};

// One atomic change: all of it, or nothing when a condition does not hold.
struct Transaction {
  struct Condition {
    std::string key;
    std::int64_t revision = 0;  // 0: there is no such key
  };
  struct Put {
    std::string key, value;
  };
  std::vector<Condition> conditions{};
  std::vector<Put> puts{};
  std::vector<std::string> deletes{};  // a key that is not there is no error
};

// Where the authority keeps everything but its keys: an ordered map of keys with
// atomic conditional changes. Several processes (replicas, the command line)
// share one store. Calls block, each for a time that the implementation bounds;
// any thread may make them.
//
// Keys are 1 to 512 bytes of printable ASCII without spaces, ordered by byte.
// Every call sees all changes that were committed before it began, by anybody.
class Store {
 public:
  // What one transaction may hold.
  struct Limits {
    std::size_t operations = 0;  // conditions; and, apart from them, puts and deletes
    std::size_t bytes = 0;       // keys and values
  };

  virtual ~Store() = default;
  virtual Limits limits() const = 0;

  virtual absl::StatusOr<std::optional<Stored>> Get(const std::string& key) = 0;

  // Keys that begin with `prefix` and are greater than `after` (may be empty),
  // in order, at most `limit` (> 0).
  virtual absl::StatusOr<std::vector<Stored>> List(const std::string& prefix,
                                                   const std::string& after, std::size_t limit) = 0;

  // The new revision, which everything that was put now has; durable when it
  // returns. Errors by what the caller knows:
  //   Aborted: a condition did not hold, nothing was changed.
  //   Unavailable: nothing was changed, try again.
  //   Unknown: it may have been applied, or may yet be. Only a transaction that
  //     contradicts it ends the doubt: the same one again, when its conditions
  //     include a key that it puts.
  //   InvalidArgument: beyond limits(), a bad key, or a key changed twice.
  //   others: nothing was changed and trying again does not help.
  virtual absl::StatusOr<std::int64_t> Commit(const Transaction& transaction) = 0;

  // Grows with every commit by anybody; perhaps without one. Cheap: for polling.
  virtual absl::StatusOr<std::int64_t> Revision() = 0;
};

// For implementations: InvalidArgument when `transaction` is not within the rules
// above.
absl::Status CheckTransaction(const Transaction& transaction, const Store::Limits& limits);
absl::Status CheckKey(absl::string_view key);

}  // namespace tombolo::ca
