// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/asio.h"
#include "net/async_fd.h"
#include "tunnel/tunnel.h"

namespace tombolo::relay {

// Moves bytes between a plain socket (the application's or the endpoint's) and a
// tunnel until both directions have ended, keeping what TCP would have said: the
// end of a stream stays an end in its direction only, a reset or a truncation
// becomes a reset.
//
// Owns the plain socket; borrows the tunnel. One thread. Destroy it only after
// Run() has returned.
class Relay {
 public:
  struct Counters {
    std::uint64_t to_tunnel = 0;    // bytes
    std::uint64_t from_tunnel = 0;  // bytes
  };

  // `early`: application bytes that went into the tunnel before, for the count.
  Relay(net::AsyncFd plain, tunnel::Tunnel& tunnel, std::uint64_t early = 0);

  // OK: both streams ended in order, the plain socket is closed, DONE has been
  // sent or received, and the tunnel may carry another connection. Otherwise why
  // the connection was reset; the tunnel is closed.
  Awaitable<absl::Status> Run();

  // Resets the connection, for a reason outside it (policy, drain deadline). Run()
  // returns `why`. May be called at any time.
  void Stop(absl::Status why, tunnel::proto::Code code);

  const Counters& counters() const { return counters_; }

 private:
  Awaitable<void> PlainToTunnel();
  Awaitable<void> TunnelToPlain();
  Awaitable<void> WatchPlain();
  Awaitable<absl::Status> TakeControl(tls::Record record);
  Awaitable<absl::Status> TakeEnd();
  absl::Status TakeReset(const tunnel::Message& message);
  Awaitable<void> WaitUntilDrained();
  void CloseInOrder();
  void Fail(absl::Status why, tunnel::proto::Code code);
  bool ended() const { return local_end_ && remote_end_; }

  net::AsyncFd plain_;
  tunnel::Tunnel& tunnel_;
  Counters counters_;
  bool local_end_ = false;   // END sent: the plain socket's stream is over
  bool remote_end_ = false;  // END received
  bool done_ = false;        // dialer: DONE received; acceptor: both ends seen
  absl::Status failure_;     // the first
  // What to tell the peer about it; CODE_UNSPECIFIED: the tunnel cannot carry it.
  tunnel::proto::Code failure_code_ = tunnel::proto::CODE_UNSPECIFIED;
  net::Timer grace_;
};

}  // namespace tombolo::relay
