// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "base/fd.h"

namespace tombolo::bench {

enum class ServerMode {
  kSink,    // reads to the client's end, then answers with how many bytes it read
  kSource,  // reads how many bytes to send (0: until the client's end), and sends them
  kEcho,    // sends back what it reads, until the client's end
};

// Counts on the wire are 64 bits in network order.
inline constexpr std::size_t kCountSize = 8;

// Serves connections of a non-blocking listener on `threads` threads, for as
// long as the process lives; returns only when it cannot go on. A connection
// that breaks is closed: the client is the one that reports.
absl::Status Serve(const Fd& listener, ServerMode mode, int threads);

}  // namespace tombolo::bench
