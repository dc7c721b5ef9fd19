// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "agent/gateway_context.h"
#include "base/asio.h"
#include "base/fd.h"
#include "net/socket.h"

namespace tombolo::agent {

// A connection that came to the gateway, until its tunnel has reached a node (it is in
// context.tunnels then, and lives on by itself) or has been refused. Nothing is read from the
// connection before: the node gets the ClientHello as it was sent. Links, and spares for a cluster
// that has one, come the same way, and go on to ServeLink() and the stock.
Awaitable<void> ServeClient(GatewayContext& context, net::Accepted client);
// The same for one that this gateway has dialled itself, over a link, and that has become another
// cluster's tunnel to this one. It goes to a node of this cluster or nowhere: what has come over a
// link is handed to no other link.
Awaitable<void> ServeSpare(GatewayContext& context, Fd socket);
// Instead: there is no descriptor for what serving needs.
void RefuseClient(GatewayContext& context, Fd socket, const absl::Status& why);

}  // namespace tombolo::agent
