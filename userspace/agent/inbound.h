// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/context.h"
#include "base/asio.h"
#include "base/fd.h"

namespace tombolo::agent {

// Serves one accepted TCP connection from another agent: handshake, then
// connections to this node's endpoints, until the tunnel ends. Logs how it ended.
Awaitable<void> ServeTunnel(Context& context, Fd socket);

}  // namespace tombolo::agent
