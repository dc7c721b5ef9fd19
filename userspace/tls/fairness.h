// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/asio.h"
#include "net/poller.h"

namespace tombolo::tls {

// Between two sockets that are never empty or full a coroutine would not suspend:
// after so many batches (2 MiB) it lets the thread's others run.
inline constexpr unsigned kBatchesPerTurn = 16;

inline Awaitable<void> GiveWay(net::Poller& poller) {
  net::Waiter waiter(poller);
  (void)co_await waiter.Yield();
}

}  // namespace tombolo::tls
