// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <string>

#include "absl/strings/string_view.h"

namespace tombolo::etcd {

// How much is remembered of what others write below a prefix, so that no writer costs the others
// more than its share. Without values nothing is left out. Keys here are without the prefix.
struct Bounds {
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  std::size_t max_key = kNone;    // at least 64; a longer one is remembered by its beginning
  std::size_t max_value = kNone;  // of a longer one only that it is there
  // Keys and values of one writer, and what it costs to have them. Of what is more only that it is
  // there, and of what is more than a quarter more nothing.
  std::size_t max_of_writer = kNone;
  // Whose a key is, as the beginning that all keys of that writer have. "", or no function:
  // nobody's who could mean harm, and bounded by what is remembered of all (Store) alone.
  std::function<std::string(absl::string_view key)> writer_of{};
};

// What stands for a value that is left out: no JSON.
inline constexpr char kTooLargeValue[] = "(left out: too large)";
inline constexpr char kTooMuchOfWriter[] = "(left out: too much of one writer)";

}  // namespace tombolo::etcd
