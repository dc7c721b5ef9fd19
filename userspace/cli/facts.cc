// SPDX-License-Identifier: Apache-2.0
#include "cli/facts.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"

namespace tombolo::cli {

void Facts::Add(absl::string_view key, std::string value) {
  facts_.emplace_back(absl::StrCat(key, ":"), std::move(value));
}

std::string Facts::ToString() const {
  std::size_t width = 0;
  for (const auto& [key, value] : facts_) width = std::max(width, key.size());
  std::string out;
  for (const auto& [key, value] : facts_) {
    absl::StrAppend(&out, key, std::string(width - key.size() + 3, ' '), value, "\n");
  }
  return out;
}

}  // namespace tombolo::cli
