// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "absl/status/status.h"
#include "base/time.h"
#include "mesh/snapshot.h"
#include "source/agent_config.h"

namespace tombolo::agent {

// What every role says of itself (docs/admin-api.md).
struct ProcessState {
  const source::AgentConfig& config;
  const mesh::Snapshot& snapshot;
  WallTime started_at;
  WallTime snapshot_loaded_at;
  const absl::Status& config_status;
  const absl::Status& directory_status;
  std::vector<std::string> not_ready;
  std::size_t threads;
};
boost::json::object ProcessJson(const ProcessState& state);

}  // namespace tombolo::agent
