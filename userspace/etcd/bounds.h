// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "etcd/messages.h"

namespace tombolo::etcd {

// How much is remembered of what others write below a prefix, so that no writer costs the others
// more than its share. Without values nothing is left out.
struct Bounds {
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  std::size_t max_key = kNone;    // at least 64; a longer one is remembered by its beginning
  std::size_t max_value = kNone;  // of a longer one only that it is there
  // Keys and values of one writer, and what it costs to have them. Of what is more only that it is
  // there, and of what is more than a quarter more nothing.
  std::size_t max_of_writer = kNone;
  // Whose a whole key is; empty: all are one writer's.
  std::function<std::string(absl::string_view key)> writer_of{};
};

// What stands for a value that is left out: no JSON.
inline constexpr char kTooLargeValue[] = "(left out: too large)";
inline constexpr char kTooMuchOfWriter[] = "(left out: too much of one writer)";

// What is remembered of each writer. Of one thread. Doing it twice to the same entries in the same
// order changes nothing more.
class Account {
 public:
  explicit Account(Bounds bounds) : bounds_(std::move(bounds)) {}

  // Shortens what is too long, whoever has written it. An entry that has lost its key has no
  // mod_revision any more: etcd knows no such key.
  void Clip(KeyValue& entry) const;
  // Counts what Clip() has seen, without its value if that is too much; false: leave it out.
  bool Admit(KeyValue& entry);
  // Of what was admitted.
  void Remove(absl::string_view key, std::size_t value_size);

 private:
  std::string WriterOf(absl::string_view key) const;

  Bounds bounds_;
  std::map<std::string, std::size_t> used_;  // by writer
};

}  // namespace tombolo::etcd
