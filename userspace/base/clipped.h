// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tombolo {

// `text`, or of a longer one its beginning and a number that tells it from others that begin in
// the same way, within `most` bytes, which are at least 64. The number is the same as long as the
// process runs. Who writes `text` can make two the same: for what is shown, not for what decides.
inline std::string Clipped(absl::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  constexpr std::size_t kNumber = 24;  // "...#" and 16 digits, and some room
  const std::size_t hash = std::hash<std::string_view>{}({text.data(), text.size()});
  return absl::StrCat(text.substr(0, most - kNumber), "...#", absl::Hex(hash, absl::kZeroPad16));
}

}  // namespace tombolo
