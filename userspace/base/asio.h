// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace tombolo {

namespace asio = boost::asio;

template <typename T>
using Awaitable = asio::awaitable<T>;

// Every asynchronous call returns its error instead of throwing it.
constexpr auto kUseTuple = asio::as_tuple(asio::use_awaitable);

}  // namespace tombolo
