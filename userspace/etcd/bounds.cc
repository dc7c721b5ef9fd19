// SPDX-License-Identifier: Apache-2.0
#include "etcd/bounds.h"

#include "base/clipped.h"

namespace tombolo::etcd {
namespace {

// Of a node in a map, twice: many small keys are no way around the bound.
constexpr std::size_t kEntry = 128;

std::size_t Cost(std::size_t key, std::size_t value) { return key + value + kEntry; }

}  // namespace

void Account::Clip(KeyValue& entry) const {
  if (entry.key.size() > bounds_.max_key) {
    entry.key = Clipped(entry.key, bounds_.max_key);
    entry.mod_revision = 0;
  }
  if (entry.value.size() > bounds_.max_value) entry.value = kTooLargeValue;
}

bool Account::Admit(KeyValue& entry) {
  if (bounds_.max_of_writer == Bounds::kNone) return true;
  std::size_t& used = used_[WriterOf(entry.key)];
  const std::size_t most = bounds_.max_of_writer;
  if (used + Cost(entry.key.size(), entry.value.size()) > most) entry.value = kTooMuchOfWriter;
  const std::size_t cost = Cost(entry.key.size(), entry.value.size());
  if (used + cost > most + most / 4) return false;
  used += cost;
  return true;
}

void Account::Remove(absl::string_view key, std::size_t value_size) {
  const auto found = used_.find(WriterOf(key));
  if (found == used_.end()) return;
  found->second -= Cost(key.size(), value_size);
  if (found->second == 0) used_.erase(found);
}

std::string Account::WriterOf(absl::string_view key) const {
  return bounds_.writer_of ? bounds_.writer_of(key) : std::string();
}

}  // namespace tombolo::etcd
