// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "agent/context.h"
#include "balance/balancer.h"
#include "mesh/snapshot.h"

// What the data threads' balancers know, for the admin API (docs/admin-api.md).
namespace tombolo::agent {

struct BalanceViews {
  std::vector<balance::EndpointView> endpoints;  // of services, ports
  std::vector<balance::ClusterView> clusters;
  std::vector<balance::EndpointView> ways;  // of clusters: to gateways, or to nodes
};

// Of one data thread, called on it; each list in the order of the snapshot.
BalanceViews BalanceOf(const Context& context, const mesh::Snapshot& snapshot);

// All threads' together: what is ejected for one of them is shown as ejected.
void AddTo(BalanceViews& sum, const BalanceViews& one);

boost::json::object ServicesJson(const mesh::Snapshot& snapshot, const BalanceViews& views);
boost::json::object ClustersJson(const mesh::Snapshot& snapshot, const std::string& own_cluster,
                                 const BalanceViews& views);

}  // namespace tombolo::agent
