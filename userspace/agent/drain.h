// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

#include <boost/asio/io_context.hpp>

#include "base/asio.h"
#include "base/time.h"

namespace tombolo::agent {

// Asks again and again until nothing is left; false when `deadline` came first, or `enough` has
// said so. Both functions outlive the call.
Awaitable<bool> WaitUntilNoneLeft(asio::io_context& io, MonotonicTime deadline,
                                  std::function<Awaitable<std::size_t>()> left,
                                  std::function<bool()> enough);

}  // namespace tombolo::agent
