// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mesh/snapshot.h"

namespace tombolo::mesh {

// Makes a directory what cluster `own` can use: of every other cluster that has
// gateways, the endpoints of one identity behind one port become a single one (see
// Endpoint). Call before Index().
void SeeFrom(const std::string& own, Snapshot& snapshot);

}  // namespace tombolo::mesh
