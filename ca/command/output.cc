// SPDX-License-Identifier: Apache-2.0
#include "command/output.h"

#include <algorithm>
#include <cstdio>

#include <boost/json/serialize.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace tombolo::ca {

void Print(const std::string& line) { std::printf("%s\n", line.c_str()); }

void PrintJson(const boost::json::value& value) { Print(boost::json::serialize(value)); }

void Table::Print() const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const std::vector<std::string>& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const std::vector<std::string>& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      absl::StrAppend(&line, row[i], last ? "" : std::string(widths[i] - row[i].size() + 2, ' '));
    }
    ca::Print(line);
  }
}

std::string ShowTime(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

}  // namespace tombolo::ca
