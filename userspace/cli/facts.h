// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace tombolo::cli {

// "Key:   value" lines, values aligned.
class Facts {
 public:
  void Add(absl::string_view key, std::string value);
  std::string ToString() const;

 private:
  std::vector<std::pair<std::string, std::string>> facts_;
};

}  // namespace tombolo::cli
