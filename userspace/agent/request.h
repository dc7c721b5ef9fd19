// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agent/context.h"
#include "agent/quota.h"
#include "mesh/snapshot.h"
#include "net/address.h"
#include "policy/authorize.h"

namespace tombolo::agent {

// Why an application's connection is not carried.
struct Refused {
  Refusal reason;
  absl::Status status;
};

// Who asked for what, resolved against one World. Filled as far as Resolve() came.
struct Request {
  std::string id;  // of the connection, 16 bytes
  std::uint64_t netns_cookie = 0;
  WorldPtr world;  // keeps the pointers below alive
  // The application: its own port, and the address that it would have sent from.
  net::SocketAddress client;
  net::SocketAddress local;  // this agent's listener
  net::SocketAddress vip;    // what the application asked for; port 0: not known
  const mesh::Workload* source = nullptr;
  mesh::ServiceRef target;
  std::string cluster;  // where the last attempt went; "": none was made
  tls::CredentialsPtr credentials;
  Quota::Share share;  // of the workload's connections
};

// Finds the original destination of the connection `fd`, the workload and the service.
std::optional<Refused> Resolve(Context& context, int fd, Request& request);
// Whether the source may connect to the target. Needs `world`, `source` and `target`, and takes
// nothing; so does what FindCredentials() needs.
policy::Decision MayConnect(const Request& request);
std::optional<Refused> FindCredentials(Request& request);
// Both, and the limit of the workload's connections.
std::optional<Refused> Authorize(Context& context, Request& request);
// Of the service that was asked for, in the cluster `to`.
const ServiceCountersPtr& CountersOf(Context& context, const Request& request,
                                     absl::string_view to);
// Counts it and logs it.
void Report(Context& context, const Request& request, const Refused& refused);

}  // namespace tombolo::agent
