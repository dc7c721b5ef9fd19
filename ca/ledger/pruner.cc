// SPDX-License-Identifier: Apache-2.0
#include "ledger/pruner.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/json_fields.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"
#include "tls/digest.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kPage = 200;
constexpr int kMostPages = 50;  // at a time
constexpr std::size_t kMostDeletes = 100;
constexpr std::size_t kOtherChanges = 4;  // of the same transaction, and some to spare
// Between two transactions, so that those who ask for certificates do not wait behind them.
constexpr std::chrono::milliseconds kBetween{20};

std::string Detail(const AuditEntry& entry, const std::string& name) {
  const auto found = entry.details.find(name);
  return found == entry.details.end() ? "" : found->second;
}

// Whether the entry has a time of this name that has been over for long enough.
bool Over(const AuditEntry& entry, const std::string& name, WallTime now) {
  const std::optional<WallTime> time = ParseTimeText(Detail(entry, name));
  return time && *time <= now - kExpiredLife;  // it may be the last time that there is
}

// Of the record that the entry has made, when nobody needs it any longer; or "".
std::string KeyOf(const AuditEntry& entry, WallTime now) {
  if (entry.event == kTokenMade && Over(entry, "expires", now)) {
    return TokenKey(Detail(entry, "token"));
  }
  const bool certificate =
      entry.event == kCertificateIssued || entry.event == kCertificateInstalled;
  if (certificate && Over(entry, "not_after", now)) {
    return CertificateKey(Detail(entry, "serial"));
  }
  return "";
}

}  // namespace

absl::StatusOr<std::optional<Pruning>> PruningPlanner::Next(WallTime now) {
  ASSIGN_OR_RETURN(const Reader::Pruned pruned, reader_.FindPruned());
  passed_ = std::max(passed_, pruned.sequence);
  Pruning pruning{.through = passed_, .revision = pruned.revision, .keys = {}};
  const std::size_t most = std::min(kMostDeletes, store_.limits().operations - kOtherChanges);
  bool young = false;
  for (int pages = 0; !young && pages < kMostPages && pruning.keys.size() < most; ++pages) {
    ASSIGN_OR_RETURN(const std::vector<AuditEntry> page, reader_.Entries(pruning.through, kPage));
    young = page.size() < kPage;
    for (const AuditEntry& entry : page) {
      young = young || entry.time + kRecordLife > now;
      if (entry.time + kRecordLife > now || pruning.keys.size() == most) break;
      if (std::string key = KeyOf(entry, now); !key.empty()) pruning.keys.push_back(std::move(key));
      pruning.through = entry.sequence;
    }
    if (pruning.keys.empty()) passed_ = pruning.through;
  }
  if (pruning.keys.empty()) return std::nullopt;
  return pruning;
}

Pruner::Pruner(std::shared_ptr<Store> store, Ledger& ledger, Options options)
    : store_(std::move(store)),
      ledger_(ledger),
      options_(std::move(options)),
      planner_(*store_),
      thread_([this] { Work(); }) {}

Pruner::~Pruner() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

void Pruner::Work() {
  for (;;) {
    // Replicas that have begun together do not stay together.
    const auto share = static_cast<double>(tls::Random128()[0]) / 256;
    if (!WaitFor(std::chrono::duration_cast<Duration>(options_.interval * (0.5 + share)))) return;
    absl::StatusOr<bool> more = true;
    while (more.ok() && *more) {
      more = Step();
      if (!WaitFor(kBetween)) return;
    }
    // Aborted: another replica was first.
    if (more.ok() || absl::IsAborted(more.status())) continue;
    log::WriteLimited(log::Level::kWarning, "old records could not be removed", "prune",
                      {{"reason", more.status()}});
  }
}

// Whether there may be more to do.
absl::StatusOr<bool> Pruner::Step() {
  ASSIGN_OR_RETURN(std::optional<Pruning> pruning, planner_.Next(options_.now()));
  if (!pruning) return false;
  const std::size_t count = pruning->keys.size();
  RETURN_IF_ERROR(Ledger::Await([&](Ledger::Done done) {
                    ledger_.Prune(*std::move(pruning), "authority", std::move(done));
                  }).status());
  removed_ += count;
  return true;
}

// False when it is to stop.
bool Pruner::WaitFor(Duration time) {
  std::unique_lock lock(mutex_);
  return !stop_.wait_for(lock, time, [this] { return stopping_; });
}

}  // namespace tombolo::ca
