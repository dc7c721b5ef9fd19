// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "ledger/committer.h"
#include "ledger/operations.h"
#include "ledger/reader.h"
#include "ledger/records.h"
#include "store/store.h"

namespace tombolo::ca {

// What the authority remembers, and the only writer of it. Every change is stored
// together with its entry of the audit log, or not at all; several ledgers
// (replicas, the command line) may share a store.
//
// A thread of its own does the blocking work: operations that wait while it works
// are committed together. Any thread may call. An operation is answered exactly
// once, in order, on that thread (the callback must not block, and may call the
// ledger), or, when it was not even queued, within the call:
//   ResourceExhausted: the queue is full.   Unavailable: not recorded, try again.
//   Unknown: the store went away, and it could not be found out in time whether
//     the change is recorded. Treat it as one that is not: hand nothing out.
//   others: what the operation itself says; it is not recorded.
// Destroying it answers what waits with Unavailable, after the store's call that
// is under way.
class Ledger {
 public:
  struct Options {
    std::size_t queue = 4096;                      // operations that may wait
    Duration patience = std::chrono::seconds(10);  // how long one may take
    Committer::Clock now = std::chrono::system_clock::now;
  };
  using Done = std::function<void(absl::StatusOr<Committed>)>;

  // Looks at the end of the log first: DataLoss when it is not whole.
  static absl::StatusOr<std::unique_ptr<Ledger>> Open(std::shared_ptr<Store> store,
                                                      Options options);
  ~Ledger();

  // Records a certificate before anybody gets it. AlreadyExists: the serial number
  // is taken. With a payment the join token is spent in the same transaction:
  // PermissionDenied when it is unknown, spent for another key, expired or for somebody
  // else.
  void Issue(Certificate certificate, std::optional<Payment> payment, std::string actor, Done done);
  // The same, but Aborted when anything has been revoked, or a document changed, since
  // `basis`: whoever has been revoked gets nothing, whichever replica he asks.
  void Issue(Certificate certificate, std::optional<Payment> payment, Basis basis,
             std::string actor, Done done);

  // Records one that somebody else has made. AlreadyExists, as above: they number by themselves.
  void Install(Certificate certificate, std::string actor, Done done);

  // AlreadyExists, NotFound.
  void AddToken(Token token, std::string actor, Done done);
  void RemoveToken(std::string digest, std::string actor, Done done);

  // With a basis, here and below: Aborted when anything has been revoked, or a document changed,
  // since. What was decided by it is to be decided again.
  void Revoke(Revocation revocation, std::optional<Basis> basis, std::string actor, Done done);
  // Takes back what is revoked by this kind and subject, for this reason. NotFound when nothing is:
  // to be asked again until then, as one call takes back a few dozen at most.
  void Unrevoke(Revocation revocation, std::optional<Basis> basis, std::string actor, Done done);

  // Documents have names of their owners' choice: printable ASCII without spaces.
  // With a revision (0: there is none) Aborted when it is another one by now.
  void PutDocument(std::string name, std::string value, std::optional<std::int64_t> revision,
                   std::optional<Basis> basis, std::string actor, Done done);
  void DeleteDocument(std::string name, std::optional<std::int64_t> revision, std::string actor,
                      Done done);

  // Removes what a PruningPlanner has found. Aborted: plan again.
  void Prune(Pruning pruning, std::string actor, Done done);

  // Records that something happened: event, actor, subject and details of `entry`.
  void Note(AuditEntry entry, Done done);

  // Calls `read` once on the ledger's thread, after the operations before it; no
  // change is made meanwhile, so it should be short. Not called when this is not
  // OK.
  absl::Status Read(std::function<void(const Reader&)> read);

  // For callers that may block: `start` posts one operation with the given Done.
  static absl::StatusOr<Committed> Await(const std::function<void(Done)>& start);

 private:
  using ReadCall = std::function<void(const Reader&)>;
  using Item = std::variant<Operation, ReadCall>;

  Ledger(std::shared_ptr<Store> store, Options options);
  void Post(MakeChange make, Done done);
  absl::Status Push(Item item);
  void Work();

  const std::shared_ptr<Store> store_;
  const Options options_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<Item> queue_;  // guarded by mutex_
  std::thread thread_;      // last: it uses the others
};

}  // namespace tombolo::ca
