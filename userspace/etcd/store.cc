// SPDX-License-Identifier: Apache-2.0
#include "etcd/store.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clipped.h"
#include "base/status_macros.h"

namespace tombolo::etcd {
namespace {

// Of a node in a map, twice: many small keys are no way around the bound.
constexpr std::size_t kEntry = 128;

std::size_t Cost(absl::string_view key, absl::string_view value) {
  return key.size() + value.size() + kEntry;
}

// What is there may be so much more than what has its value.
std::size_t WithMarks(std::size_t limit) {
  return limit == Bounds::kNone ? limit : limit + limit / 4;
}
std::size_t WithoutMarks(std::size_t all) { return all / 5 * 4; }

}  // namespace

Store::Store(std::size_t max_bytes, Bounds bounds)
    : max_bytes_(max_bytes), bounds_(std::move(bounds)), limit_(bounds_.max_of_writer) {}

std::string Store::Clipped(absl::string_view key) const {
  return key.size() > bounds_.max_key ? tombolo::Clipped(key, bounds_.max_key) : std::string(key);
}

std::string Store::WriterOf(absl::string_view key) const {
  return bounds_.writer_of ? bounds_.writer_of(key) : std::string();
}

void Store::Insert(const std::string& key, std::string value, Before* before) {
  if (before != nullptr) before->try_emplace(key, std::nullopt);
  const std::size_t cost = Cost(key, value);
  writers_[WriterOf(key)].used += cost;
  used_ += cost;
  values_.insert_or_assign(key, std::move(value));
}

void Store::Remove(Values::iterator at, Before* before) {
  const auto writer = writers_.find(WriterOf(at->first));
  const std::size_t cost = Cost(at->first, at->second);
  used_ -= cost;
  writer->second.used -= cost;
  if (writer->second.used == 0 && !writer->second.left_out) writers_.erase(writer);
  if (before != nullptr) before->try_emplace(at->first, std::move(at->second));
  values_.erase(at);
}

void Store::Admit(const std::string& key, std::string value, Before* before) {
  const std::string name = WriterOf(key);
  if (!name.empty()) {
    Writer& writer = writers_[name];
    if (writer.used + Cost(key, value) > limit_) {
      value = kTooMuchOfWriter;
      writer.left_out = true;
    }
    if (writer.used + Cost(key, value) > WithMarks(limit_)) return;
  }
  Insert(key, std::move(value), before);
}

absl::Status Store::Put(absl::string_view key, std::string value, Before* before) {
  if (value.size() > bounds_.max_value) value = kTooLargeValue;
  Erase(key, before);
  Admit(Clipped(key), std::move(value), before);
  return used_ > max_bytes_ ? MakeRoom(before) : absl::OkStatus();
}

void Store::Erase(absl::string_view key, Before* before) {
  const auto found = values_.find(Clipped(key));
  if (found != values_.end()) Remove(found, before);
}

void Store::Undo(const Before& before) {
  for (const auto& [key, value] : before) {
    Erase(key, nullptr);
    if (value) Insert(key, *value, nullptr);
  }
}

// So that all have no more than 15/16 of the room: it is made again only when that much has come.
std::size_t Store::FairLimit() const {
  std::size_t left = max_bytes_ - max_bytes_ / 16;
  std::vector<std::size_t> used;
  for (const auto& [name, writer] : writers_) {
    if (name.empty()) {
      left -= std::min(left, writer.used);
    } else {
      used.push_back(writer.used);
    }
  }
  std::sort(used.begin(), used.end());
  for (std::size_t i = 0; i < used.size(); ++i) {
    const std::size_t share = left / (used.size() - i);
    if (used[i] > share) return WithoutMarks(share);
    left -= used[i];
  }
  return Bounds::kNone;
}

Store::Values Store::Take(const std::string& writer, Before* before) {
  Values taken;
  for (auto at = values_.lower_bound(writer);
       at != values_.end() && absl::StartsWith(at->first, writer);) {
    const auto next = std::next(at);
    taken.emplace_hint(taken.end(), at->first, at->second);
    Remove(at, before);
    at = next;
  }
  return taken;
}

absl::Status Store::MakeRoom(Before* before) {
  const absl::Status full =
      absl::ResourceExhaustedError(absl::StrCat("the keys have more than ", max_bytes_, " bytes"));
  const auto nobodys = writers_.find("");
  if (nobodys != writers_.end() && nobodys->second.used > max_bytes_ / 2) return full;
  limit_ = std::min(limit_, FairLimit());
  std::vector<std::string> rich;
  for (const auto& [name, writer] : writers_) {
    if (!name.empty() && writer.used > limit_) rich.push_back(name);
  }
  for (const std::string& name : rich) {
    for (auto& [key, value] : Take(name, before)) Admit(key, std::move(value), before);
  }
  return used_ <= max_bytes_ ? absl::OkStatus() : full;
}

// What its limit could be.
std::size_t Store::RoomOf(const Writer& writer) const {
  const std::size_t most = max_bytes_ - max_bytes_ / 16, others = used_ - writer.used;
  const std::size_t left = most > others ? most - others : 0;
  return std::min(bounds_.max_of_writer, std::max(limit_, WithoutMarks(left)));
}

std::optional<std::string> Store::NextWithRoom() {
  auto at = writers_.upper_bound(asked_);
  for (std::size_t i = 0; i < writers_.size(); ++i, ++at) {
    if (at == writers_.end()) at = writers_.begin();
    const std::size_t room = RoomOf(at->second);
    if (!at->second.left_out || at->second.used > room - room / 8) continue;
    return asked_ = at->first;
  }
  return std::nullopt;
}

Store Store::For(const std::string& writer) const {
  Store theirs(Bounds::kNone, bounds_);
  const auto found = writers_.find(writer);
  theirs.limit_ = RoomOf(found == writers_.end() ? Writer{} : found->second);
  return theirs;
}

absl::Status Store::Replace(const std::string& writer, Store theirs, Before* before) {
  Take(writer, before);
  limit_ = std::max(limit_, theirs.limit_);
  for (auto& [key, value] : theirs.values_) Insert(key, std::move(value), before);
  const auto found = theirs.writers_.find(writer);
  const bool left_out = found != theirs.writers_.end() && found->second.left_out;
  writers_[writer].left_out = left_out;
  if (!left_out && writers_[writer].used == 0) writers_.erase(writer);
  return used_ > max_bytes_ ? MakeRoom(before) : absl::OkStatus();
}

Store::Values Store::Below(const std::string& beginning) const {
  const auto first = values_.lower_bound(beginning);
  auto last = first;
  while (last != values_.end() && absl::StartsWith(last->first, beginning)) ++last;
  return {first, last};
}

}  // namespace tombolo::etcd
