// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "agent/gateway_context.h"
#include "base/asio.h"
#include "base/fd.h"

namespace tombolo::agent {

// A connection that came to the gateway, until its tunnel has reached a node (it is in
// context.tunnels then, and lives on by itself) or has been refused. Nothing is read from the
// connection before: the node gets the ClientHello as it was sent.
Awaitable<void> ServeClient(GatewayContext& context, Fd socket);
// Instead: there is no descriptor for what serving needs.
void RefuseClient(GatewayContext& context, Fd socket, const absl::Status& why);

}  // namespace tombolo::agent
