// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/asio.h"
#include "base/time.h"
#include "net/async_fd.h"
#include "tunnel/tunnel.h"

namespace tombolo::tunnel {

// What an agent does with the connections that arrive through a tunnel.
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

  // Relays until both ends are done. RESULT ok has been posted and may be held back
  // (RecordStream::PostControl): Flush() it soon. OK: the tunnel may carry another connection.
  // It closes the endpoint's socket.
  virtual Awaitable<absl::Status> Carry(Tunnel& tunnel, net::AsyncFd endpoint) = 0;
};

struct AcceptorOptions {
  Duration hello = std::chrono::seconds(5);
  Duration idle = std::chrono::seconds(90);  // longer than dialers keep theirs
};

// Serves one accepted tunnel until it ends: HELLO, then any number of
// connections, one after the other. Returns OK after an orderly end, and
// otherwise why the tunnel was ended. `tunnel` and `handler` outlive the call.
// To drain it, Retire() the tunnel and, if it waits, CancelReceive() its stream.
Awaitable<absl::Status> Serve(Tunnel& tunnel, ConnectionHandler& handler, AcceptorOptions options);

}  // namespace tombolo::tunnel
