// SPDX-License-Identifier: Apache-2.0
#include "agent/gateway_dial.h"

#include <utility>

#include <boost/asio/post.hpp>

#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::agent {

Awaitable<absl::StatusOr<net::AsyncFd>> Dial(GatewayContext& context, net::SocketAddress address,
                                             Way way, MonotonicTime deadline) {
  CO_ASSIGN_OR_RETURN(Fd socket, net::TcpSocket(address));
  if (!context.quotas.reserve.Keep()) co_return ReserveNeeded();
  net::SetKeepAlive(socket.get());
  net::ResetOnClose(socket.get());
  // What comes next is a ClientHello; or a link's, or a spare's opening.
  net::DelayAcknowledgements(socket.get());
  if (way == Way::kWan) net::SetWanOptions(socket.get(), context.wan);
  co_return co_await net::Connect(context.poller, std::move(socket), address, deadline);
}

void PostTo(net::Poller& poller, std::function<void()> task) {
  asio::post(poller.io(), std::move(task));
  poller.Wake();
}

}  // namespace tombolo::agent
