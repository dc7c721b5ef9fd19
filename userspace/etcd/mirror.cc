// SPDX-License-Identifier: Apache-2.0
#include "etcd/mirror.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace tombolo::etcd {
namespace {

// What has to happen to `before` to make it `after`.
Changes Difference(const Store::Values& before, const Store::Values& after) {
  Changes changes;
  for (const auto& [key, value] : before) {
    if (!after.contains(key)) changes.emplace(key, std::nullopt);
  }
  for (const auto& [key, value] : after) {
    const auto old = before.find(key);
    if (old == before.end() || old->second != value) changes.emplace(key, value);
  }
  return changes;
}

}  // namespace

absl::Status Mirror::Listing::Add(KeyValue entry) {
  absl::string_view key = entry.key;
  if (!absl::ConsumePrefix(&key, prefix_)) {
    return absl::DataLossError("etcd lists keys that do not have the prefix");
  }
  // Of one that is remembered by its beginning etcd cannot be asked.
  if (entry.mod_revision > last_.mod_revision && store_.Clipped(key) == key) {
    last_ = {.key = entry.key, .mod_revision = entry.mod_revision};
  }
  RETURN_IF_ERROR(store_.Put(key, std::move(entry.value), nullptr));
  return complete() ? absl::OutOfRangeError("nothing more of it would be kept") : absl::OkStatus();
}

Changes Mirror::Replace(Listing listed, const RangeAnswer& header) {
  Changes changes = Difference(store_.values(), listed.store_.values());
  store_ = std::move(listed.store_);
  last_ = std::move(listed.last_);
  revision_ = header.revision;
  term_ = header.term;
  return changes;
}

Changes Mirror::Since(const Store::Before& before) const {
  Changes changes;
  for (const auto& [key, old] : before.values) {
    const auto now = store_.values().find(key);
    std::optional<std::string> value;
    if (now != store_.values().end()) value = now->second;
    if (value != old) changes.emplace(key, std::move(value));
  }
  return changes;
}

absl::StatusOr<Changes> Mirror::Apply(Watch::Batch batch) {
  KeyValue last;  // as etcd knows it
  for (const Event& event : batch.events) {
    if (!absl::StartsWith(event.entry.key, prefix_)) {
      return absl::DataLossError("etcd tells of a key that does not have the prefix");
    }
    // A watch that was resumed at the right place tells nothing twice.
    if (event.entry.mod_revision <= revision_) return absl::OutOfRangeError("told twice");
    last.key = event.entry.key;
    last.mod_revision = event.deleted ? 0 : event.entry.mod_revision;
  }
  Store::Before before;
  for (Event& event : batch.events) {
    const absl::string_view key = absl::string_view(event.entry.key).substr(prefix_.size());
    if (event.deleted) {
      store_.Erase(key, &before);
    } else if (absl::Status put = store_.Put(key, std::move(event.entry.value), &before);
               !put.ok()) {
      store_.Undo(before);
      return absl::OutOfRangeError(put.message());
    }
  }
  last_ = std::move(last);
  revision_ = std::max(revision_, batch.revision);
  term_ = std::max(term_, batch.term);
  return Since(before);
}

absl::StatusOr<Changes> Mirror::ReplaceOf(const std::string& writer, Listing listed) {
  Store::Before before;
  if (absl::Status done = store_.Replace(writer, std::move(listed.store_), &before); !done.ok()) {
    store_.Undo(before);
    return done;
  }
  Changes changes = Since(before);
  changes.merge(Below(writer));
  return changes;
}

Changes Mirror::Below(const std::string& beginning) const {
  Changes all;
  for (auto& [key, value] : store_.Below(beginning)) all.emplace(key, std::move(value));
  return all;
}

void Mirror::Advance(std::int64_t revision) { revision_ = std::max(revision_, revision); }

}  // namespace tombolo::etcd
