// SPDX-License-Identifier: Apache-2.0
#include "etcd/mirror.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tombolo::etcd {
namespace {

// What has to happen to `before` to make it `after`.
Changes Difference(const std::map<std::string, std::string>& before,
                   const std::map<std::string, std::string>& after) {
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

absl::StatusOr<Changes> Mirror::Replace(RangeAnswer listed) {
  std::map<std::string, std::string> values;
  std::size_t bytes = 0;
  KeyValue last;
  Account account(bounds_);
  for (KeyValue& entry : listed.entries) {
    if (!absl::StartsWith(entry.key, prefix_)) {
      return absl::DataLossError("etcd lists keys that do not have the prefix");
    }
    account.Clip(entry);
    if (!account.Admit(entry)) continue;
    bytes += entry.key.size() + entry.value.size();
    if (entry.mod_revision > last.mod_revision) {
      last.key = entry.key;
      last.mod_revision = entry.mod_revision;
    }
    values.insert_or_assign(entry.key.substr(prefix_.size()), std::move(entry.value));
  }
  Changes changes = Difference(values_, values);
  values_ = std::move(values);
  account_ = std::move(account);
  bytes_ = bytes;
  revision_ = listed.revision;
  term_ = listed.term;
  last_ = std::move(last);
  return changes;
}

absl::StatusOr<Changes> Mirror::Apply(Watch::Batch batch) {
  std::size_t added = 0;
  KeyValue last;  // as etcd knows it
  for (Event& event : batch.events) {
    if (!absl::StartsWith(event.entry.key, prefix_)) {
      return absl::DataLossError("etcd tells of a key that does not have the prefix");
    }
    // A watch that was resumed at the right place tells nothing twice.
    if (event.entry.mod_revision <= revision_) return absl::OutOfRangeError("told twice");
    last.key = event.entry.key;
    last.mod_revision = event.deleted ? 0 : event.entry.mod_revision;
    account_.Clip(event.entry);
    added += event.entry.key.size() + event.entry.value.size();
  }
  if (bytes_ + added > max_bytes_) {
    return absl::OutOfRangeError(absl::StrCat("perhaps more than ", max_bytes_, " bytes"));
  }
  Changes changes;
  std::map<std::string, std::optional<std::string>> before;
  for (Event& event : batch.events) {
    const std::string key = event.entry.key.substr(prefix_.size());
    const auto old = values_.find(key);
    const bool known = old != values_.end();
    before.emplace(key, known ? std::optional(old->second) : std::nullopt);  // the first one stays
    if (known) {
      bytes_ -= event.entry.key.size() + old->second.size();
      account_.Remove(event.entry.key, old->second.size());
    }
    if (event.deleted || !account_.Admit(event.entry)) {
      if (known) values_.erase(old);
      changes[key] = std::nullopt;
    } else {
      bytes_ += event.entry.key.size() + event.entry.value.size();
      changes[key] = event.entry.value;
      values_[key] = std::move(event.entry.value);
    }
  }
  std::erase_if(changes, [&](const auto& change) { return change.second == before[change.first]; });
  last_ = std::move(last);
  revision_ = std::max(revision_, batch.revision);
  term_ = std::max(term_, batch.term);
  return changes;
}

void Mirror::Advance(std::int64_t revision) { revision_ = std::max(revision_, revision); }

}  // namespace tombolo::etcd
