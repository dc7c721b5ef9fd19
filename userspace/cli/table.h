// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tombolo::cli {

// Rows under a header, columns aligned to the left and three spaces apart, as
// kubectl prints them. Widths count characters, so that UTF-8 names align.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}

  // Has as many cells as the header.
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }

  std::string ToString() const;  // every line ends in \n, none in a space
  // The same; of an empty table "No <what>."
  std::string OrNone(absl::string_view what) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tombolo::cli
