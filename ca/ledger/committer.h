// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "ledger/operations.h"
#include "ledger/pace.h"
#include "ledger/reader.h"
#include "store/store.h"

// Puts changes into the store together with their audit entries. Internal to
// ledger.
namespace tombolo::ca {

// Where a change ended up.
struct Committed {
  std::int64_t sequence = 0;  // of its audit entry
  std::int64_t revision = 0;  // of what it put
};

struct Operation {
  MakeChange make;
  std::function<void(absl::StatusOr<Committed>)> done;
  MonotonicTime deadline;
};

// Commits operations in order, as many as fit into each transaction. Blocks; one
// thread uses it. Borrows everything. Once `stopping` is true it no longer waits
// for a better time, and answers Unavailable.
class Committer {
 public:
  using Clock = std::function<WallTime()>;
  Committer(Store& store, Clock now, const std::atomic<bool>& stopping);

  // Returns once every operation has been answered.
  void Run(std::vector<Operation> operations);

 private:
  // A transaction and the operations in it, which are the first of those that
  // wait.
  struct Batch {
    Transaction transaction;
    AuditHead head;  // once it is committed
    std::string first_key;
    std::size_t operations = 0;
  };

  void Round(std::vector<Operation>& waiting);
  absl::Status FindHead();
  void TakeTurns(Duration took);
  Batch Build(std::vector<Operation>& waiting);
  absl::StatusOr<Change> Make(const Operation& operation, const AuditHead& head);
  absl::Status CheckNeeds(const Change& change);
  absl::StatusOr<std::int64_t> Settle(const Batch& batch, MonotonicTime deadline,
                                      absl::Status doubt);
  absl::StatusOr<std::optional<std::int64_t>> FindOwn(const Batch& batch);
  void OnAborted(const Batch& batch, std::vector<Operation>& waiting);
  void Succeed(const Batch& batch, std::int64_t revision, std::vector<Operation>& waiting);
  static void Answer(std::vector<Operation>& waiting, std::size_t count,
                     const absl::Status& status);
  void Wait(std::vector<Operation>& waiting, Duration pause, const absl::Status& why);

  Store& store_;
  const Reader reader_;
  const Clock now_;
  const std::atomic<bool>& stopping_;
  std::optional<Reader::Head> head_;  // as far as is known
  std::int64_t own_revision_ = 0;     // of the head that was put last
  bool check_needs_ = false;          // one of the next operations cannot be committed
  Pace pace_;
  MonotonicTime next_ = MonotonicTime::min();  // when others have had their turn
};

}  // namespace tombolo::ca
