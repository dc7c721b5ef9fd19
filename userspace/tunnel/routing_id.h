// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"

namespace tombolo::tunnel {

// The opaque label that names (service, port, server identity) in a tunnel's
// SNI: 32 hex digits, the first 128 bits of SHA-256. Derived by both ends from
// the directory, never claimed by a peer. Names do not show on the wire.
std::string RoutingId(absl::string_view service, std::uint16_t port, const SpiffeId& server);

// <routing-id>.<cluster>.tombolo.internal
std::string ServerName(absl::string_view routing_id, absl::string_view cluster);

struct ServerNameParts {
  absl::string_view routing_id, cluster;
};
// Both parts of a server name; both are empty when it is none.
ServerNameParts SplitServerName(absl::string_view server_name);

// The routing id of a server name; empty when it is not of `cluster`.
absl::string_view RoutingIdOf(absl::string_view server_name, absl::string_view cluster);

// A stable 64-bit name of a service's port, for kernel maps.
std::uint64_t ServicePortId(absl::string_view service, std::uint16_t port);

}  // namespace tombolo::tunnel
