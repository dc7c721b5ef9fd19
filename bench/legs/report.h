// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "load.h"
#include "sample.h"
#include "semantics.h"

namespace tombolo::bench {

// The samples of one load, by way; those of one round have the same index.
struct Row {
  Load load;
  std::map<Way, std::vector<Sample>> samples;
};

// Medians (min..max) as a table, and under it on what and how quietly they were measured.
std::string Table(const std::vector<Row>& rows);
// As bench/README.md describes it: {question, subject, parameters, metric, unit, median, ...}.
std::string Json(const std::vector<Row>& rows);

std::string Table(const std::string& way, const std::vector<Finding>& findings);

}  // namespace tombolo::bench
