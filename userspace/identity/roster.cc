// SPDX-License-Identifier: Apache-2.0
#include "identity/roster.h"

#include <algorithm>
#include <utility>

namespace tombolo::identity {
namespace {

WallTime EndOf(const Record& record) {
  return record.svid.credentials == nullptr ? WallTime::min()
                                            : record.svid.credentials->not_after();
}

Store::Entry ToEntry(const Record& record) {
  Store::Entry entry;
  entry.credentials = record.svid.credentials;
  entry.error = record.error;
  if (entry.credentials == nullptr && entry.error.ok()) {
    entry.error = absl::FailedPreconditionError("not issued yet");
  }
  return entry;
}

}  // namespace

void Roster::Set(const std::set<SpiffeId>& ids, WallTime now) {
  std::erase_if(records_, [&](const auto& entry) { return !ids.contains(entry.first); });
  for (const SpiffeId& id : ids) records_.try_emplace(id, Record{.due = now});
}

std::vector<SpiffeId> Roster::Due(WallTime now, std::size_t most) const {
  std::vector<std::pair<WallTime, SpiffeId>> due;
  for (const auto& [id, record] : records_) {
    if (!record.asking && record.due <= now) due.emplace_back(EndOf(record), id);
  }
  const std::size_t count = std::min(most, due.size());
  std::partial_sort(due.begin(), due.begin() + static_cast<std::ptrdiff_t>(count), due.end());
  std::vector<SpiffeId> first;
  for (std::size_t i = 0; i < count; ++i) first.push_back(std::move(due[i].second));
  return first;
}

WallTime Roster::NextDue() const {
  WallTime next = WallTime::max();
  for (const auto& [id, record] : records_) {
    if (!record.asking) next = std::min(next, record.due);
  }
  return next;
}

Record* Roster::Find(const SpiffeId& id) {
  const auto found = records_.find(id);
  return found == records_.end() ? nullptr : &found->second;
}

const SpiffeId* Roster::FindOtherThan(const TrustPtr& trust) const {
  for (const auto& [id, record] : records_) {
    if (!record.svid.chain.empty() && record.svid.trust != trust) return &id;
  }
  return nullptr;
}

StorePtr MakeStore(const std::map<SpiffeId, Record>& records, const TrustPtr& trust) {
  std::map<SpiffeId, Store::Entry> entries;
  for (const auto& [id, record] : records) entries.emplace(id, ToEntry(record));
  return Store::From(std::move(entries),
                     trust == nullptr ? tls::Revocations{} : trust->bundle().revoked);
}

}  // namespace tombolo::identity
