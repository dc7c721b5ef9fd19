// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "etcd/bounds.h"

namespace tombolo::etcd {

// Keys and values of several writers, within bounds that are fair: when all together would be more
// than `max_bytes`, those who have most get less, each of them as much, and what others have stays.
// So of n writers each can have three quarters of the n-th part, whatever the others do. Of a
// writer who has too much what comes last in the order of the keys goes.
//
// Of one thread. A plain value.
class Store {
 public:
  using Values = std::map<std::string, std::string>;
  // What there was under each key of which it is different now; none: nothing.
  using Before = std::map<std::string, std::optional<std::string>>;

  Store(std::size_t max_bytes, Bounds bounds);

  // A key by which it is remembered.
  std::string Clipped(absl::string_view key) const;

  // All that is different by it is noted in `before`, if that is there, unless it is noted already.
  // ResourceExhausted: most of it is nobody's; undo it.
  absl::Status Put(absl::string_view key, std::string value, Before* before);
  void Erase(absl::string_view key, Before* before);
  void Undo(const Before& before);

  // A writer of whom something was left out, and who may have more by now; in turn, if there are
  // several. None: no such writer.
  std::optional<std::string> NextWithRoom();
  // An empty one with as much room as this one has for that writer.
  Store For(const std::string& writer) const;
  // Of that writer, what there is in `theirs`, which For() has made, in place of what there was.
  absl::Status Replace(const std::string& writer, Store theirs, Before* before);

  const Values& values() const { return values_; }
  // What begins like that.
  Values Below(const std::string& beginning) const;

 private:
  struct Writer {
    std::size_t used = 0;
    bool left_out = false;  // something of it
  };

  std::string WriterOf(absl::string_view key) const;
  std::size_t RoomOf(const Writer& writer) const;
  std::size_t FairLimit() const;
  absl::Status MakeRoom(Before* before);
  void Admit(const std::string& key, std::string value, Before* before);
  void Insert(const std::string& key, std::string value, Before* before);
  void Remove(Values::iterator at, Before* before);
  Values Take(const std::string& writer, Before* before);

  std::size_t max_bytes_;
  Bounds bounds_;
  std::size_t limit_;  // of each writer, now
  Values values_;
  std::map<std::string, Writer> writers_;  // by the beginning of their keys
  std::size_t used_ = 0;                   // by all
  std::string asked_;                      // NextWithRoom() goes on after it
};

}  // namespace tombolo::etcd
