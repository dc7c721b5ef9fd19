// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "agent/counters.h"
#include "tunnel/tunnel.h"

namespace tombolo::agent {

// Logs why a tunnel ended otherwise than in order; InvalidArgument, the peer broke
// the protocol, is also counted.
void ReportEnd(Counters& counters, const tunnel::Tunnel& tunnel, const absl::Status& ended);

}  // namespace tombolo::agent
