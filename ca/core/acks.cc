// SPDX-License-Identifier: Apache-2.0
#include "core/acks.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "core/place.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kPage = 1000;

std::string NameOf(const Stored& stored) {
  return std::string(absl::StripPrefix(stored.key, kAcks));
}

// What is not a number is as good as none: it is written again.
std::int64_t SequenceOf(const Stored& stored) {
  std::int64_t sequence = 0;
  return absl::SimpleAtoi(stored.value, &sequence) ? sequence : 0;
}

struct Found {
  std::int64_t sequence = 0, revision = 0;
};

absl::StatusOr<std::map<std::string, Found>> ReadAll(Store& store) {
  std::map<std::string, Found> found;
  for (std::string after;;) {
    ASSIGN_OR_RETURN(const std::vector<Stored> page, store.List(kAcks, after, kPage));
    for (const Stored& stored : page) {
      found[NameOf(stored)] = {.sequence = SequenceOf(stored), .revision = stored.revision};
    }
    if (page.size() < kPage) return found;
    after = page.back().key;
  }
}

}  // namespace

absl::StatusOr<std::map<std::string, std::int64_t>> ReadAcks(Store& store) {
  ASSIGN_OR_RETURN(const auto found, ReadAll(store));
  std::map<std::string, std::int64_t> acks;
  for (const auto& [name, ack] : found) acks[name] = ack.sequence;
  return acks;
}

absl::Status ForgetAck(Store& store, const std::string& node) {
  const std::string key = absl::StrCat(kAcks, node);
  ASSIGN_OR_RETURN(const std::optional<Stored> stored, store.Get(key));
  if (!stored) return absl::NotFoundError(absl::StrCat("nothing is known of a node ", node));
  return store.Commit({.conditions = {{key, stored->revision}}, .deletes = {key}}).status();
}

Acks::Acks(std::shared_ptr<Store> store, Options options)
    : store_(std::move(store)),
      options_(options),
      forget_at_(After(options.forget)),
      thread_([this] { Work(); }) {}

Acks::~Acks() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

void Acks::Note(const SpiffeId& node, std::int64_t sequence) {
  std::string key = PlaceOf(node);
  if (key.empty()) return;
  const std::lock_guard lock(mutex_);
  const auto known = written_.find(key);
  if (known != written_.end() && known->second == sequence && !waiting_.contains(key)) return;
  if (known == written_.end() && written_.size() + waiting_.size() >= options_.agents) return;
  waiting_[std::move(key)] = sequence;
}

void Acks::Work() {
  bool failing = false;
  for (bool last = false; !last;) {
    {
      std::unique_lock lock(mutex_);
      last = stop_.wait_for(lock, options_.interval, [this] { return stopping_; });
    }
    const absl::Status flushed = Flush();
    if (!flushed.ok() && !failing) {
      log::Warning("what agents hold is not recorded", {{"reason", flushed}});
    }
    failing = !flushed.ok();
  }
}

absl::Status Acks::Flush() {
  std::map<std::string, std::int64_t> wanted;
  {
    const std::lock_guard lock(mutex_);
    wanted.swap(waiting_);
    if (std::chrono::steady_clock::now() >= forget_at_) {
      written_.clear();
      forget_at_ = After(options_.forget);
    }
  }
  if (wanted.empty()) return absl::OkStatus();
  absl::Status status = Write(wanted);
  if (status.ok()) return status;
  // Not lost; what was said meanwhile stays.
  const std::lock_guard lock(mutex_);
  waiting_.insert(wanted.begin(), wanted.end());
  return status;
}

absl::Status Acks::Write(const std::map<std::string, std::int64_t>& wanted) {
  ASSIGN_OR_RETURN(auto found, ReadAll(*store_));
  const std::size_t most = std::min(store_->limits().operations, kPage);
  auto next = wanted.begin();
  while (next != wanted.end()) {
    Transaction transaction;
    auto end = next;
    for (; end != wanted.end() && transaction.puts.size() < most; ++end) {
      Found& ack = found[end->first];
      if (ack.sequence == end->second) continue;
      const std::string key = absl::StrCat(kAcks, end->first);
      transaction.conditions.push_back({key, ack.revision});
      transaction.puts.push_back({key, absl::StrCat(end->second)});
      ack.sequence = end->second;
    }
    if (!transaction.puts.empty()) RETURN_IF_ERROR(store_->Commit(transaction).status());
    next = end;
  }
  const std::lock_guard lock(mutex_);
  for (const auto& [name, ack] : found) written_[name] = ack.sequence;
  return absl::OkStatus();
}

}  // namespace tombolo::ca
