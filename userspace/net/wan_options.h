// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace tombolo::net {

// How the TCP of a tunnel that leaves its cluster differs from the others'.
struct WanOptions {
  std::string congestion_control;  // TCP_CONGESTION; empty: the namespace's
  // TCP_MAXSEG: the largest segment either way, so that no packet is larger than what every path
  // carries. Where a packet is too large and nobody says so (ICMP is dropped), a connection would
  // hang. 0: what the interface allows.
  std::uint32_t max_segment = 0;
};
// Before connect(); of a listener, for what it accepts.
void SetWanOptions(int fd, const WanOptions& options);
// Whether this process may use it (tcp(7), TCP_CONGESTION), as tried on a socket. NotFound: the
// kernel has none of that name; PermissionDenied.
absl::Status TryCongestionControl(const std::string& name);

}  // namespace tombolo::net
