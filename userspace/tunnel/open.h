// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "base/asio.h"
#include "base/time.h"
#include "net/async_fd.h"
#include "net/buffer_pool.h"
#include "tunnel/tunnel.h"

namespace tombolo::tunnel {

// What became of an attempt to open a connection through a tunnel.
struct OpenOutcome {
  enum class Kind {
    kOpened,       // relay now
    kRefused,      // RESULT other than ok; the tunnel has been put in order and may be reused
    kNotSent,      // the tunnel ended before RESULT in a way that proves or allows no delivery
    kDenied,       // refused by certificate or policy: never retried, not the endpoint's fault
    kUncertain,    // the tunnel failed after application bytes had been sent: not retried
    kPlainFailed,  // the application went away meanwhile
    kNotTried,     // this node could not: says nothing of the endpoint, nor would another help
  };
  Kind kind;
  absl::Status status;    // why, unless kOpened
  std::size_t early = 0;  // kOpened: application bytes that were sent before RESULT

  bool retriable() const { return kind == Kind::kRefused || kind == Kind::kNotSent; }
};

// Sends HELLO (on a new tunnel) and OPEN, forwards up to 64 KiB of what `plain`
// sends meanwhile, and waits for RESULT. Early bytes are peeked at and leave
// `plain`'s socket only once RESULT is ok, so that a retry finds them there. Without
// `send_early` nothing is sent before RESULT, so that any failure may be retried.
Awaitable<OpenOutcome> OpenConnection(Tunnel& tunnel, proto::Open open, net::AsyncFd& plain,
                                      net::BufferPool& buffers, MonotonicTime deadline,
                                      bool send_early = true);

}  // namespace tombolo::tunnel
