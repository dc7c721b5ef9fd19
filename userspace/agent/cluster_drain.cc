// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster_drain.h"

#include <chrono>

namespace tombolo::agent {

std::vector<PastDeadline> PastDeadlines(const mesh::Snapshot& snapshot, WallTime now,
                                        MonotonicTime monotonic_now) {
  std::vector<PastDeadline> past;
  for (const mesh::Cluster& cluster : snapshot.clusters) {
    if (!cluster.draining || !cluster.drain_deadline || now < *cluster.drain_deadline) continue;
    const auto ago = std::chrono::duration_cast<Duration>(now - *cluster.drain_deadline);
    past.push_back({cluster.name, monotonic_now - ago});
  }
  return past;
}

bool EndsWithDrain(const Connection& connection, const std::string& cluster, MonotonicTime passed) {
  return connection.role == tunnel::Role::kDialer && connection.server.name().cluster == cluster &&
         connection.opened_at < passed;
}

}  // namespace tombolo::agent
