// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include <boost/json/value.hpp>

#include "absl/time/time.h"

// JSON values as cells of a table. What is absent, null or "" is "-".
namespace tombolo::cli {

// A string without control characters (names may come from another cluster, and
// must not drive this terminal), a number, true or false.
std::string Text(const boost::json::value* value);

// 512B, 1.5KiB, 20MiB
std::string Bytes(const boost::json::value* value);
std::string Bytes(std::uint64_t bytes);

// Like kubectl: 300ms, 42s, 3m20s, 5h, 12d
std::string Age(const boost::json::value* milliseconds);
std::string Age(absl::Duration age);

// An RFC 3339 time as "5m ago" or "in 43m"; text that is no such time as it is.
std::string Relative(const boost::json::value* time, absl::Time now);

// east/shop/curl for a workload's SPIFFE ID; any other text as it is.
std::string ShortId(const boost::json::value* id);

}  // namespace tombolo::cli
