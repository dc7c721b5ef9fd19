// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "etcd/bounds.h"

namespace tombolo::etcd {

// Keys and values of several writers, within bounds that are fair: when all together would be more
// than `max_bytes`, those who have most get less, each of them as much, and what others have stays.
// So of n writers each can have three quarters of the n-th part, whatever the others do.
//
// Of a writer who has too much the first keys are kept, whatever the order in which they come, and
// of those from some key on only that they are there. That key moves towards the first when what
// comes before it needs the room, and back only when all of that writer's is read again: its values
// are not here any more.
//
// Of one thread. A plain value.
class Store {
 public:
  using Values = std::map<std::string, std::string>;
  // What it takes to undo what was done since.
  struct Before {
    // What there was under each key of which it is different now; none: nothing.
    std::map<std::string, std::optional<std::string>> values{};
    // The ends of writers that are different now.
    std::map<std::string, std::optional<std::string>> ends{};
    std::optional<std::size_t> limit{};
  };

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
  // Whether something was left out.
  bool lacks_some() const;
  // `theirs`, which For() has made, has all of that writer's, or the first keys up to one that was
  // left out. In place of what there was.
  absl::Status Replace(const std::string& writer, Store theirs, Before* before);

  const Values& values() const { return values_; }
  // What begins like that.
  Values Below(const std::string& beginning) const;

 private:
  struct Writer {
    std::size_t used = 0;   // by what is kept
    std::size_t marks = 0;  // by what stands for values that are left out
    // The first key of which the value is left out; none: all is kept.
    std::optional<std::string> end{};
    bool Keeps(absl::string_view key) const { return !end || key < *end; }
  };
  using Writers = std::map<std::string, Writer>;  // by the beginning of their keys

  std::string WriterOf(absl::string_view key) const;
  std::size_t RoomOf(const Writer& writer) const;
  std::size_t FairLimit() const;
  void SetLimit(std::size_t limit, Before* before);
  absl::Status MakeRoom(Before* before);
  void Trim(Writers::value_type& writer, Before* before);
  void SetEnd(Writers::value_type& writer, std::optional<std::string> end, Before* before);
  void Mark(const std::string& key, Writer& writer, Before* before);
  void Insert(const std::string& key, std::string value, Writer& writer, Before* before);
  void Remove(Values::iterator at, Writer& writer, Before* before);
  // The last one that is of that writer and before that key; end(): none.
  Values::iterator LastBefore(const std::string& key, const std::string& writer);

  std::size_t max_bytes_;
  Bounds bounds_;
  std::size_t limit_;  // of each writer, now
  Values values_;
  Writers writers_;
  std::size_t used_ = 0;  // by all
  std::string asked_;     // NextWithRoom() goes on after it
};

}  // namespace tombolo::etcd
