// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/time.h"
#include "net/async_fd.h"
#include "tunnel/tunnel.h"

namespace tombolo::tunnel {

// What an agent says to the connections that arrive through a tunnel.
class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;

  // Decides on `open` and connects to the endpoint. On CODE_OK the socket is set.
  struct Answer {
    proto::Code code = proto::CODE_UNAVAILABLE;
    std::string message;  // goes to the dialer
    net::AsyncFd endpoint;
  };
  virtual Awaitable<Answer> Open(Tunnel& tunnel, proto::Open open) = 0;
};

struct AcceptorOptions {
  Duration hello = std::chrono::seconds(5);
  Duration idle = std::chrono::seconds(90);  // longer than dialers keep theirs
};

// Serves an accepted tunnel up to its next connection: HELLO first, and what is refused on
// the way. Returns that connection's endpoint, which the caller relays: RESULT ok has been
// posted and may be held back (RecordStream::PostControl), so Flush() it soon. When it has
// ended in order, serve the tunnel again.
//
// Without an endpoint the tunnel is closed: nullopt after an orderly end, and otherwise why
// it was ended. `tunnel` and `handler` outlive the call. To drain it, Retire() the tunnel
// and, if it waits, CancelReceive() its stream.
Awaitable<absl::StatusOr<std::optional<net::AsyncFd>>> Serve(Tunnel& tunnel,
                                                             ConnectionHandler& handler,
                                                             AcceptorOptions options);

}  // namespace tombolo::tunnel
