// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include <boost/json/object.hpp>

#include "agent/link_views.h"
#include "base/time.h"
#include "gateway/node.h"
#include "mesh/snapshot.h"

// The whole clusterset as one gateway sees it, for the admin API (docs/admin-api.md: topology).
namespace tombolo::agent {

struct SeenByGateway {
  const mesh::Snapshot& snapshot;
  const std::string& own_cluster;
  const gateway::Nodes& nodes;  // of the own cluster
  LinkViews links{};
  std::set<std::string> away{};  // members without a gateway that is alive
};
boost::json::object TopologyJson(const SeenByGateway& seen, MonotonicTime now);

}  // namespace tombolo::agent
