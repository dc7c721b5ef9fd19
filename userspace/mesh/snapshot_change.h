// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mesh/snapshot.h"

namespace tombolo::mesh {

// What a new snapshot makes different for the agent of a node.
struct SnapshotChange {
  bool served = true;    // services with endpoints there, or where those objects are
  bool captured = true;  // names, VIPs, ports, whether anything is ready, rules, workloads
};

// Pure. Costs little when the two share most of what they hold.
SnapshotChange Compare(const Snapshot& before, const Snapshot& after, const std::string& cluster,
                       const std::string& node);

}  // namespace tombolo::mesh
