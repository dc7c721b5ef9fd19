// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "base/asio.h"

namespace tombolo::tls {

// Between two sockets that are never empty or full a coroutine would not suspend:
// after so many batches (2 MiB) it lets the thread's others run.
inline constexpr unsigned kBatchesPerTurn = 16;

inline Awaitable<void> GiveWay(asio::io_context& io) {
  co_await asio::post(io, asio::use_awaitable);
}

}  // namespace tombolo::tls
