// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "agent/context.h"
#include "base/asio.h"
#include "base/fd.h"

namespace tombolo::agent {

// Serves one accepted TCP connection from another agent: handshake, then
// connections to this node's endpoints, until the tunnel ends. Logs how it ended.
Awaitable<void> ServeTunnel(Context& context, Fd socket);

// Resets it at once, because `why` (no descriptor) keeps it from being served.
void RefuseTunnel(Context& context, Fd socket, absl::Status why);

}  // namespace tombolo::agent
