// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mesh/snapshot.h"
#include "source/shared_directory.h"

namespace tombolo::source {

// What has to change below clusters/<own>/ for it to say what it should. Keys are in order.
struct Publication {
  std::map<std::string, std::string> puts;  // key -> value
  std::vector<std::string> deletes;         // after the puts: what moves is in both places first
  // What the file wants and others would not take, or what there is no address for: for people.
  std::vector<std::string> problems;

  bool empty() const { return puts.empty() && deletes.empty(); }
};

// Of the own cluster, `shared.own()`, others see its region, and each service with `export: true`
// in a namespace that it was granted and with endpoints here: how many there are and how many are
// ready, by port and identity. The own nodes see the VIPs of what is imported (VipAssignment).
//
// `file` is LoadDirectory()'s, `seen` what ImportDirectory() makes of both; `now` in seconds of
// the epoch. Pure; any thread.
Publication PlanPublication(const mesh::Snapshot& file, const mesh::Snapshot& seen,
                            const SharedDirectory& shared, std::int64_t now);

}  // namespace tombolo::source
