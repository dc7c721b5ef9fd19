// SPDX-License-Identifier: Apache-2.0
#include "ledger/committer.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/digest.h"

namespace tombolo::ca {
namespace {

// The head's own condition and put, and its bytes.
constexpr std::size_t kHeadOperations = 1;
constexpr std::size_t kHeadBytes = 512;

double RandomShare() { return static_cast<double>(tls::Random128()[0]) / 256; }

// What a transaction has so far, against the store's limits.
class Room {
 public:
  explicit Room(const Store::Limits& limits) : limits_(limits) {}

  // Whether `change` with its entry fits, and touches no key that another one of
  // the transaction touches: then it has to see what that one has done.
  bool Fits(const Change& change, std::size_t entry_bytes) {
    std::size_t bytes = entry_bytes;
    std::vector<absl::string_view> keys;
    for (const Change::Need& need : change.needs) keys.push_back(need.condition.key);
    for (const Transaction::Put& put : change.puts) keys.push_back(put.key);
    for (const std::string& key : change.deletes) keys.push_back(key);
    for (const absl::string_view key : keys) bytes += key.size();
    for (const Transaction::Put& put : change.puts) bytes += put.value.size();
    const std::size_t conditions = conditions_ + change.needs.size() + 1;
    const std::size_t changes = changes_ + change.puts.size() + change.deletes.size() + 1;
    if (std::max(conditions, changes) > limits_.operations || bytes_ + bytes > limits_.bytes ||
        std::any_of(keys.begin(), keys.end(),
                    [this](absl::string_view key) { return touched_.contains(key); })) {
      return false;
    }
    touched_.insert(keys.begin(), keys.end());
    conditions_ = conditions;
    changes_ = changes;
    bytes_ += bytes;
    return true;
  }

 private:
  const Store::Limits limits_;
  absl::flat_hash_set<std::string> touched_;
  std::size_t conditions_ = kHeadOperations, changes_ = kHeadOperations, bytes_ = kHeadBytes;
};

// The stored text of the change's audit entry. InvalidArgument when it could not
// be read again.
absl::StatusOr<std::string> EntryText(Change& change, WallTime now, const AuditHead& head,
                                      const std::string& transaction) {
  AuditEntry& entry = change.entry;
  entry.sequence = head.sequence + 1;
  entry.time = now;
  for (const Transaction::Put& put : change.puts) entry.writes[put.key] = DigestHex(put.value);
  entry.deletes = change.deletes;
  entry.transaction = transaction;
  entry.previous = head.digest;
  std::string text = Encode(entry);
  const absl::Status readable = DecodeEntry(AuditKey(entry.sequence), text).status();
  if (!readable.ok()) return absl::InvalidArgumentError(readable.message());
  return text;
}

absl::Status CheckKeys(const Change& change) {
  for (const Transaction::Put& put : change.puts) RETURN_IF_ERROR(CheckKey(put.key));
  for (const std::string& key : change.deletes) RETURN_IF_ERROR(CheckKey(key));
  return absl::OkStatus();
}

void Append(Change change, std::string entry_text, AuditHead& head, Transaction& transaction) {
  head.sequence += 1;
  head.digest = DigestHex(entry_text);
  if (change.revokes) head.revocation = head.sequence;
  if (change.changes_document) head.document = head.sequence;
  // An entry never replaces one, whoever has put it there.
  transaction.conditions.push_back({AuditKey(head.sequence), 0});
  transaction.puts.push_back({AuditKey(head.sequence), std::move(entry_text)});
  for (Change::Need& need : change.needs) {
    transaction.conditions.push_back(std::move(need.condition));
  }
  for (Transaction::Put& put : change.puts) transaction.puts.push_back(std::move(put));
  for (std::string& key : change.deletes) transaction.deletes.push_back(std::move(key));
}

bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsUnknown(status) || absl::IsDeadlineExceeded(status);
}

bool IsLate(const Operation& operation) {
  return std::chrono::steady_clock::now() >= operation.deadline;
}

}  // namespace

Committer::Committer(Store& store, Clock now, const std::atomic<bool>& stopping)
    : store_(store),
      reader_(store),
      now_(std::move(now)),
      stopping_(stopping),
      pace_(RandomShare) {}

void Committer::Run(std::vector<Operation> operations) {
  while (!operations.empty()) Round(operations);
}

// One transaction. Removes what has been answered.
void Committer::Round(std::vector<Operation>& waiting) {
  std::this_thread::sleep_until(next_);
  const MonotonicTime begun = std::chrono::steady_clock::now();
  const absl::Status found = FindHead();
  if (!found.ok()) {
    if (IsPassing(found)) return Wait(waiting, pace_.AfterFailure(), found);
    return Answer(waiting, waiting.size(), found);
  }
  const Batch batch = Build(waiting);
  if (batch.operations == 0) return;
  MonotonicTime deadline = MonotonicTime::min();
  for (std::size_t i = 0; i < batch.operations; ++i) {
    deadline = std::max(deadline, waiting[i].deadline);
  }
  absl::StatusOr<std::int64_t> revision = store_.Commit(batch.transaction);
  if (absl::IsUnknown(revision.status())) revision = Settle(batch, deadline, revision.status());
  if (revision.ok()) {
    Succeed(batch, *revision, waiting);
    return TakeTurns(std::chrono::steady_clock::now() - begun);
  }
  if (absl::IsAborted(revision.status())) return OnAborted(batch, waiting);
  if (absl::IsUnavailable(revision.status())) {
    return Wait(waiting, pace_.AfterFailure(), revision.status());
  }
  head_.reset();
  Answer(waiting, batch.operations, revision.status());
}

absl::Status Committer::FindHead() {
  if (head_) return absl::OkStatus();
  ASSIGN_OR_RETURN(head_, reader_.FindHead());
  if (head_->revision != own_revision_ && own_revision_ != 0) pace_.MetOthers();
  return absl::OkStatus();
}

// A head that others may have moved meanwhile is read again: that costs less than a transaction
// that fails.
void Committer::TakeTurns(Duration took) {
  const Duration pause = pace_.AfterCommit(took);
  if (pause == Duration::zero()) return;
  next_ = After(pause);
  head_.reset();
}

// Answers operations that cannot be made on the way, as far as the batch goes.
Committer::Batch Committer::Build(std::vector<Operation>& waiting) {
  Batch batch;
  batch.head = head_->head;
  batch.first_key = AuditKey(batch.head.sequence + 1);
  Room room(store_.limits());
  const std::string transaction = tls::Hex(tls::Random128());
  std::size_t next = 0;
  while (next < waiting.size() && batch.operations < pace_.most()) {
    absl::StatusOr<Change> change = Make(waiting[next], batch.head);
    absl::StatusOr<std::string> entry =
        change.ok() ? EntryText(*change, now_(), batch.head, transaction) : change.status();
    if (entry.ok() && !room.Fits(*change, entry->size() + 2 * batch.first_key.size())) {
      if (batch.operations > 0) break;
      entry = absl::InvalidArgumentError(
          absl::StrCat("'", change->entry.event, "' is larger than the store takes"));
    }
    if (!entry.ok() && IsPassing(entry.status()) && !IsLate(waiting[next])) {
      if (batch.operations == 0) Wait(waiting, pace_.AfterFailure(), entry.status());
      break;
    }
    if (entry.ok()) {
      Append(*std::move(change), *std::move(entry), batch.head, batch.transaction);
      ++batch.operations, ++next;
      continue;
    }
    waiting[next].done(entry.status());
    waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(next));
  }
  batch.transaction.conditions.push_back({kHeadKey, head_->revision});
  batch.transaction.puts.push_back({kHeadKey, Encode(batch.head)});
  return batch;
}

absl::StatusOr<Change> Committer::Make(const Operation& operation, const AuditHead& head) {
  if (IsLate(operation)) {
    return absl::UnavailableError("the store did not take the change in time");
  }
  ASSIGN_OR_RETURN(Change change, operation.make({.store = store_, .now = now_(), .head = head}));
  RETURN_IF_ERROR(CheckKeys(change));
  if (check_needs_) RETURN_IF_ERROR(CheckNeeds(change));
  return change;
}

absl::Status Committer::CheckNeeds(const Change& change) {
  for (const Change::Need& need : change.needs) {
    ASSIGN_OR_RETURN(const std::optional<Stored> stored, store_.Get(need.condition.key));
    if ((stored ? stored->revision : 0) != need.condition.revision) return need.otherwise;
  }
  return absl::OkStatus();
}

// Whether a transaction whose answer was lost has been applied: its revision, or
// Aborted. It may still be under way, so looking is not enough. But it and a
// second one like it need the same head and both change it: one at most is ever
// applied, and when the second fails, so has the first, or it is there to be seen.
absl::StatusOr<std::int64_t> Committer::Settle(const Batch& batch, MonotonicTime deadline,
                                               absl::Status doubt) {
  for (Pace pace(RandomShare);;) {
    absl::StatusOr<std::optional<std::int64_t>> own = FindOwn(batch);
    if (own.ok() && *own) return **own;
    if (own.ok()) {
      absl::StatusOr<std::int64_t> again = store_.Commit(batch.transaction);
      if (again.ok()) return again;
      if (absl::IsAborted(again.status())) {
        own = FindOwn(batch);
        if (own.ok() && *own) return **own;
        if (own.ok()) return again;
      }
      doubt = again.status();
    }
    if (stopping_ || std::chrono::steady_clock::now() >= deadline) {
      return absl::UnknownError(
          absl::StrCat("the change may have been recorded or not: ", doubt.message()));
    }
    std::this_thread::sleep_for(pace.AfterFailure());
  }
}

// The revision of the batch when its first entry is in the store. The entry's
// random name of the transaction keeps it from looking like anybody else's.
absl::StatusOr<std::optional<std::int64_t>> Committer::FindOwn(const Batch& batch) {
  ASSIGN_OR_RETURN(const std::optional<Stored> stored, store_.Get(batch.first_key));
  if (!stored || stored->value != batch.transaction.puts[0].value) return std::nullopt;
  return stored->revision;
}

void Committer::OnAborted(const Batch& batch, std::vector<Operation>& waiting) {
  const std::int64_t expected = head_->revision;
  head_.reset();
  const absl::Status found = FindHead();
  if (!found.ok() && !IsPassing(found)) return Answer(waiting, waiting.size(), found);
  if (!found.ok() || head_->revision != expected) {  // somebody else was faster
    check_needs_ = false;
    return Wait(waiting, found.ok() ? pace_.AfterLoss(batch.operations) : pace_.AfterFailure(),
                absl::UnavailableError("other replicas were faster every time"));
  }
  if (!check_needs_) {
    check_needs_ = true;
    return;
  }
  // Every need has been looked at: it is the log itself.
  check_needs_ = false;
  const absl::StatusOr<std::vector<Stored>> beyond =
      store_.List(kAudit, AuditKey(head_->head.sequence), 1);
  if (beyond.ok() && !beyond->empty()) {
    return Answer(waiting, batch.operations,
                  absl::DataLossError(absl::StrCat("the audit log has ", beyond->front().key,
                                                   " beyond its head, entry ", head_->head.sequence,
                                                   ": verify it before anything is recorded")));
  }
  Wait(waiting, pace_.AfterFailure(),
       absl::UnavailableError("what the change depends on keeps changing"));
}

void Committer::Succeed(const Batch& batch, std::int64_t revision,
                        std::vector<Operation>& waiting) {
  const std::int64_t first = batch.head.sequence - static_cast<std::int64_t>(batch.operations) + 1;
  head_ = {.head = batch.head, .revision = revision};
  own_revision_ = revision;
  check_needs_ = false;
  for (std::size_t i = 0; i < batch.operations; ++i) {
    waiting[i].done(
        Committed{.sequence = first + static_cast<std::int64_t>(i), .revision = revision});
  }
  waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(batch.operations));
}

void Committer::Answer(std::vector<Operation>& waiting, std::size_t count,
                       const absl::Status& status) {
  for (std::size_t i = 0; i < count; ++i) waiting[i].done(status);
  waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(count));
}

// Before the next attempt. Those that cannot wait any longer hear `why`.
void Committer::Wait(std::vector<Operation>& waiting, Duration pause, const absl::Status& why) {
  const MonotonicTime next = After(pause);
  const auto late = std::stable_partition(
      waiting.begin(), waiting.end(),
      [&](const Operation& operation) { return operation.deadline <= next || stopping_; });
  Answer(waiting, static_cast<std::size_t>(late - waiting.begin()),
         absl::UnavailableError(why.message()));
  if (!waiting.empty()) std::this_thread::sleep_until(next);
}

}  // namespace tombolo::ca
