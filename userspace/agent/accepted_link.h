// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "agent/quota.h"
#include "base/asio.h"
#include "base/spiffe_id.h"
#include "link/channel.h"
#include "link/stock.h"
#include "net/async_fd.h"

namespace tombolo::agent {

struct GatewayContext;

// A link that another cluster's gateway has dialled. Of one thread; its spares are in the stock,
// which all threads share.
struct AcceptedLink {
  std::unique_ptr<link::Channel> channel;
  std::unique_ptr<link::Stock::Membership> membership;  // null: not accepted yet, or not any more
  std::string ending;                                   // not empty: why it has to end
  AddressShare share;                                   // of the gateway's connections
};

// Serves what has begun with the ClientHello of a link until it ends: lets the peer speak for its
// own cluster if the directory has it, and asks it for spares. Logs and counts why not.
// `handshake` lasts as long as that.
Awaitable<void> ServeLink(GatewayContext& context, net::AsyncFd socket, std::string peer_address,
                          AddressShare share, AddressShare handshake);

// After the world has changed: ends those links that it does not allow any more.
void CheckLinks(GatewayContext& context);
// Says goodbye on all of them.
void EndLinks(GatewayContext& context, const std::string& why);

}  // namespace tombolo::agent
