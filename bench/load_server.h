// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

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

struct ServerOptions {
  ServerMode mode = ServerMode::kSink;
  int threads = 1;
  // What every connection begins with, before anything that `mode` is about.
  std::string preamble{};
};

// Serves connections of a non-blocking listener for as long as the process lives;
// returns only when it cannot go on. A connection that breaks, or begins with anything
// but the preamble, is closed: the client is the one that reports.
absl::Status Serve(const Fd& listener, const ServerOptions& options);

}  // namespace tombolo::bench
