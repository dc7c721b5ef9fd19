// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "mesh/snapshot.h"

namespace tombolo::policy {

struct Decision {
  bool allowed = false;
  std::string reason;               // for people: logs, `tombolo explain`
  std::optional<std::size_t> rule;  // index of the matching line of Snapshot::allow
};

// May `client` connect to that port of the service "namespace/name"? A pure
// function of an indexed Snapshot; any thread may call it. Fails closed: what
// no rule allows is denied, and so is whatever the snapshot does not know, and
// every node, gateway and authority, whatever the rules say. The
// cost does not grow with the number of rules: one look-up for the identity and
// one for each of its path's prefixes.
Decision Authorize(const mesh::Snapshot& snapshot, const SpiffeId& client,
                   absl::string_view service, std::uint16_t port);
// The same of a connection that runs, which the rules alone decide: with Snapshot::imports there
// are rules about services that nobody has for now, and a service that is between two clusters
// denies nobody anything.
Decision AuthorizeRunning(const mesh::Snapshot& snapshot, const SpiffeId& client,
                          absl::string_view service, std::uint16_t port);

}  // namespace tombolo::policy
