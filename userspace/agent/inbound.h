// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "agent/context.h"
#include "tunnel/acceptor.h"

namespace tombolo::agent {

// Decides on the connections that arrive through one tunnel and carries them to
// this node's endpoints. `context` outlives it.
std::unique_ptr<tunnel::ConnectionHandler> MakeInboundHandler(Context& context);

}  // namespace tombolo::agent
