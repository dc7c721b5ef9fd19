// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "agent/quota.h"
#include "base/spiffe_id.h"
#include "identity/store.h"
#include "mesh/snapshot.h"
#include "net/address.h"
#include "net/namespace.h"
#include "source/agent_config.h"
#include "tls/credentials.h"

namespace tombolo::agent {

using NamespacePtr = std::shared_ptr<const net::NetworkNamespace>;

// Everything that decides about a connection, at one moment. Built by the control
// thread, never changed afterwards, and swapped as a whole on each data thread.
struct World {
  // A service port that an endpoint on this node serves under one identity.
  struct Served {
    const mesh::Service* service = nullptr;
    const mesh::ServicePort* port = nullptr;
    SpiffeId identity;
  };
  // Where an endpoint's workload has its sockets. A null namespace is the
  // agent's own; an unavailable one is not: connections to it are refused.
  struct Home {
    NamespacePtr ns;
    absl::Status status;
  };

  // A network namespace whose connections this agent takes, in words.
  struct Namespace {
    std::string path;      // empty: the agent's own
    std::string workload;  // the first of those that live there
  };

  // The credentials of a workload of this node. FailedPrecondition says why there
  // are none: nobody has this identity, its SVID was never loaded, or has expired.
  absl::StatusOr<tls::CredentialsPtr> CredentialsOf(const SpiffeId& id) const;

  // Of the handshakes of strangers at `peer`. Behind the own cluster's gateways are many, of whom
  // each has a limit of its own there: together they have three quarters of what there is.
  AddressLimits HandshakeLimits(const net::IpAddress& peer) const;

  source::AgentConfig::Deadlines deadlines;
  source::AgentConfig::Limits limits;
  mesh::SnapshotPtr snapshot;
  identity::StorePtr identities;
  absl::flat_hash_map<std::string, Served> served;  // by routing id
  absl::flat_hash_map<std::uint64_t, const mesh::Workload*> workload_by_cgroup;
  absl::flat_hash_map<std::string, Home> homes;              // by workload name
  absl::flat_hash_map<std::uint64_t, Namespace> namespaces;  // by cookie
  absl::flat_hash_set<net::IpAddress> own_gateways;
};

using WorldPtr = std::shared_ptr<const World>;

// What this node serves, by routing id.
absl::flat_hash_map<std::string, World::Served> ServedBy(const mesh::Snapshot& snapshot,
                                                         const std::string& cluster,
                                                         const std::string& node);

// Where the gateways of `cluster` are, as far as somebody can dial them.
absl::flat_hash_set<net::IpAddress> GatewaysOf(const mesh::Snapshot& snapshot,
                                               const std::string& cluster);

}  // namespace tombolo::agent
