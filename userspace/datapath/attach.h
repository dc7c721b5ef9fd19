// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "datapath/object.h"
#include "datapath/pins.h"

namespace tombolo::datapath {

// Ends what a crash interrupted, before anything else: half-replaced link pins,
// and map pins that are gone while pinned programs still use the maps. Those
// maps hold what is refused now; new empty ones would open it.
absl::Status RepairPins(const Pins& pins);

// Puts `program` where the pinned link is, in one step (bpf_link_update); makes
// and pins a link when there is none on `cgroup_path`, or a dead one. At no
// moment is a hook missing that was there.
absl::Status Attach(const LoadedProgram& program, const std::string& cgroup_path);

}  // namespace tombolo::datapath
