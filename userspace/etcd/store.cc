// SPDX-License-Identifier: Apache-2.0
#include "etcd/store.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clipped.h"
#include "etcd/messages.h"

namespace tombolo::etcd {
namespace {

// Of a node in a map, twice: many small keys are no way around the bound.
constexpr std::size_t kEntry = 128;

std::size_t Cost(absl::string_view key, absl::string_view value) {
  return key.size() + value.size() + kEntry;
}

// What marks may have beside what is kept.
std::size_t ForMarks(std::size_t limit) { return limit / 4; }
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

void Store::Insert(const std::string& key, std::string value, Writer& writer, Before* before) {
  if (before != nullptr) before->values.try_emplace(key, std::nullopt);
  const std::size_t cost = Cost(key, value);
  (writer.Keeps(key) ? writer.used : writer.marks) += cost;
  used_ += cost;
  values_.insert_or_assign(key, std::move(value));
}

void Store::Remove(Values::iterator at, Writer& writer, Before* before) {
  const std::size_t cost = Cost(at->first, at->second);
  (writer.Keeps(at->first) ? writer.used : writer.marks) -= cost;
  used_ -= cost;
  if (before != nullptr) before->values.try_emplace(at->first, std::move(at->second));
  values_.erase(at);
}

void Store::Mark(const std::string& key, Writer& writer, Before* before) {
  if (writer.marks + Cost(key, kTooMuchOfWriter) > ForMarks(limit_)) return;
  Insert(key, kTooMuchOfWriter, writer, before);
}

Store::Values::iterator Store::LastBefore(const std::string& key, const std::string& writer) {
  const auto after = values_.lower_bound(key);
  if (after == values_.begin()) return values_.end();
  const auto last = std::prev(after);
  return absl::StartsWith(last->first, writer) ? last : values_.end();
}

void Store::SetEnd(Writers::value_type& writer, std::optional<std::string> end, Before* before) {
  if (before != nullptr) before->ends.try_emplace(writer.first, writer.second.end);
  writer.second.end = std::move(end);
}

// To what it may have now.
void Store::Trim(Writers::value_type& writer, Before* before) {
  auto& [name, account] = writer;
  const std::string behind = PrefixEnd(name);
  while (account.used > limit_) {
    const auto last = LastBefore(account.end.value_or(behind), name);
    if (last == values_.end()) return;
    const std::string key = last->first;
    Remove(last, account, before);
    SetEnd(writer, key, before);
    Mark(key, account, before);
  }
  while (account.marks > ForMarks(limit_)) {
    const auto last = LastBefore(behind, name);
    if (last == values_.end()) return;
    Remove(last, account, before);
  }
}

absl::Status Store::Put(absl::string_view key, std::string value, Before* before) {
  if (value.size() > bounds_.max_value) value = kTooLargeValue;
  const std::string clipped = Clipped(key);
  auto& writer = *writers_.try_emplace(WriterOf(clipped)).first;
  auto& [name, account] = writer;
  if (const auto found = values_.find(clipped); found != values_.end()) {
    Remove(found, account, before);
  }
  if (account.Keeps(clipped)) {
    Insert(clipped, std::move(value), account, before);
    if (!name.empty()) Trim(writer, before);
  } else {
    Mark(clipped, account, before);
  }
  return used_ > max_bytes_ ? MakeRoom(before) : absl::OkStatus();
}

void Store::Erase(absl::string_view key, Before* before) {
  const auto found = values_.find(Clipped(key));
  if (found == values_.end()) return;
  const auto writer = writers_.find(WriterOf(found->first));
  Remove(found, writer->second, before);
  const Writer& account = writer->second;
  if (account.used == 0 && account.marks == 0 && !account.end) writers_.erase(writer);
}

void Store::Undo(const Before& before) {
  for (const auto& [key, value] : before.values) {
    const auto found = values_.find(key);
    if (found != values_.end()) Remove(found, writers_[WriterOf(key)], nullptr);
  }
  for (const auto& [writer, end] : before.ends) writers_[writer].end = end;
  limit_ = before.limit.value_or(limit_);
  for (const auto& [key, value] : before.values) {
    if (value) Insert(key, *value, writers_[WriterOf(key)], nullptr);
  }
}

void Store::SetLimit(std::size_t limit, Before* before) {
  if (before != nullptr && !before->limit) before->limit = limit_;
  limit_ = limit;
}

// So that all have no more than 15/16 of the room: it is made again only when that much has come.
std::size_t Store::FairLimit() const {
  std::size_t left = max_bytes_ - max_bytes_ / 16;
  std::vector<std::size_t> used;
  for (const auto& [name, writer] : writers_) {
    if (name.empty()) {
      left -= std::min(left, writer.used);
    } else {
      used.push_back(writer.used + writer.marks);
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

absl::Status Store::MakeRoom(Before* before) {
  const absl::Status full =
      absl::ResourceExhaustedError(absl::StrCat("the keys have more than ", max_bytes_, " bytes"));
  const auto nobodys = writers_.find("");
  if (nobodys != writers_.end() && nobodys->second.used > max_bytes_ / 2) return full;
  SetLimit(std::min(limit_, FairLimit()), before);
  for (auto& writer : writers_) {
    if (!writer.first.empty()) Trim(writer, before);
  }
  return used_ <= max_bytes_ ? absl::OkStatus() : full;
}

// What its limit could be.
std::size_t Store::RoomOf(const Writer& writer) const {
  const std::size_t most = max_bytes_ - max_bytes_ / 16,
                    others = used_ - writer.used - writer.marks;
  const std::size_t left = most > others ? most - others : 0;
  return std::min(bounds_.max_of_writer, std::max(limit_, WithoutMarks(left)));
}

std::optional<std::string> Store::NextWithRoom() {
  auto at = writers_.upper_bound(asked_);
  for (std::size_t i = 0; i < writers_.size(); ++i, ++at) {
    if (at == writers_.end()) at = writers_.begin();
    const std::size_t room = RoomOf(at->second);
    if (!at->second.end || at->second.used > room - room / 8) continue;
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

bool Store::lacks_some() const {
  return std::ranges::any_of(writers_,
                             [](const auto& writer) { return writer.second.end.has_value(); });
}

absl::Status Store::Replace(const std::string& name, Store theirs, Before* before) {
  const Writer read = theirs.writers_[name];
  auto& writer = *writers_.try_emplace(name).first;
  auto& account = writer.second;
  const bool more = !read.end || (account.end && *account.end < *read.end);
  if (!more) return absl::OkStatus();
  SetLimit(std::max(limit_, theirs.limit_), before);
  for (auto at = values_.lower_bound(name);
       at != values_.end() && absl::StartsWith(at->first, name) && read.Keeps(at->first);) {
    Remove(at++, account, before);
  }
  SetEnd(writer, read.end, before);
  for (auto& [key, value] : theirs.values_) {
    if (read.Keeps(key)) {
      Insert(key, std::move(value), account, before);
    } else if (!values_.contains(key)) {
      Mark(key, account, before);
    }
  }
  return used_ > max_bytes_ ? MakeRoom(before) : absl::OkStatus();
}

Store::Values Store::Below(const std::string& beginning) const {
  const auto first = values_.lower_bound(beginning);
  auto last = first;
  while (last != values_.end() && absl::StartsWith(last->first, beginning)) ++last;
  return {first, last};
}

}  // namespace tombolo::etcd
