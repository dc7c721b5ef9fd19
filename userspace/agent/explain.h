// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <boost/json/object.hpp>

#include "agent/context.h"
#include "base/spiffe_id.h"
#include "mesh/snapshot.h"
#include "net/address.h"

// What would become of a connection, were it made now: by the functions that decide about real
// ones, in their order (docs/admin-api.md: explain). Nothing begins, and nothing is counted.
namespace tombolo::agent {

struct Supposed {
  std::string workload;  // that connects
  std::string to;        // 10.96.0.10:80, [fd00:96::10]:80 or shop/web:80
  // The application's address, which decides with affinity by source; unset: what its namespace
  // sends from.
  net::IpAddress client{};
};

// Who and what that is. InvalidArgument, NotFound: no such workload on this node, no port.
struct Parties {
  const mesh::Workload* source = nullptr;  // of the snapshot
  mesh::ServiceRef target{};               // null: no service has the address
  net::SocketAddress vip{};                // port 0: the service has none
};
absl::StatusOr<Parties> FindParties(const mesh::Snapshot& snapshot, const Settings& settings,
                                    const Supposed& supposed);

// On one data thread: `steps` up to the endpoint, and where that thread would go: `tiers` and
// `attempts`.
boost::json::object ExplainOn(Context& context, const Supposed& supposed);

boost::json::object StepJson(const char* name, bool ok, std::string detail);

}  // namespace tombolo::agent
