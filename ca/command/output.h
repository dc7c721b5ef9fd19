// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "base/time.h"

// How commands print, on standard output.
namespace tombolo::ca {

void Print(const std::string& line);
void PrintJson(const boost::json::value& value);

// Columns as wide as their widest text, under their names.
class Table {
 public:
  explicit Table(std::vector<std::string> names) : rows_{std::move(names)} {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void Print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string ShowTime(WallTime time);  // 2026-01-31T12:00:00Z

}  // namespace tombolo::ca
