// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/enrolment.h"
#include "datapath/datapath.h"
#include "mesh/snapshot.h"
#include "net/address.h"

namespace tombolo::agent {

// What the kernel shall hold for `snapshot`: every VIP, this node's workloads,
// and which of them may reach which service. `retired` cgroups stay captured with
// nothing allowed; `own_cgroup` (0: none) is never captured.
datapath::DesiredState MakeDesiredState(const mesh::Snapshot& snapshot,
                                        const std::map<std::string, Enrolment::Entry>& entries,
                                        const std::vector<std::uint64_t>& retired,
                                        const std::vector<net::Prefix>& protected_ranges,
                                        std::uint64_t own_cgroup);

}  // namespace tombolo::agent
