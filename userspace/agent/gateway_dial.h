// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "agent/gateway_context.h"
#include "base/asio.h"
#include "base/time.h"
#include "net/address.h"
#include "net/async_fd.h"

namespace tombolo::agent {

enum class Way {
  kNode,  // within the cluster
  kWan,   // to another one's gateway
};

// Connects as a gateway does: with keepalive, reset on close, and without the last descriptor.
Awaitable<absl::StatusOr<net::AsyncFd>> Dial(GatewayContext& context, net::SocketAddress address,
                                             Way way, MonotonicTime deadline);

// Runs `task` on the poller's thread, soon. Any thread.
void PostTo(net::Poller& poller, std::function<void()> task);

}  // namespace tombolo::agent
