// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/connection_table.h"
#include "base/time.h"
#include "mesh/snapshot.h"

// The end of a drain that has a deadline: each agent ends what it has dialled there, by its own
// clock. Pure.
namespace tombolo::agent {

struct PastDeadline {
  std::string cluster;
  MonotonicTime passed;  // when it was
};
// The draining clusters whose deadline has passed.
std::vector<PastDeadline> PastDeadlines(const mesh::Snapshot& snapshot, WallTime now,
                                        MonotonicTime monotonic_now);

// Whether that ends the connection. One that was begun later had nowhere else to go, and goes on.
bool EndsWithDrain(const Connection& connection, const std::string& cluster, MonotonicTime passed);

}  // namespace tombolo::agent
