// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

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
// It lives on the edges of its two sockets: between them it is these few fields, with
// no coroutine and no buffer.
//
// Owns the plain socket; borrows the tunnel. One thread. Once begun, destroy it only when it
// has ended.
class Relay final : private net::EdgeListener {
 public:
  struct Counters {
    std::uint64_t to_tunnel = 0;    // bytes
    std::uint64_t from_tunnel = 0;  // bytes
  };

  // `plain` resets on close (net::ResetOnClose) until both streams have ended in order:
  // should this process die, the application must not take the end of its socket for the
  // end of the stream. `early`: application bytes that went into the tunnel before, for the
  // count.
  Relay(net::AsyncFd plain, tunnel::Tunnel& tunnel, std::uint64_t early = 0);

  struct End {
    // OK: both streams ended in order, the plain socket is closed, DONE has been sent or
    // received, and the tunnel may carry another connection. Otherwise why the connection
    // was reset: CloseTunnel() is next.
    absl::Status status;
    tunnel::proto::Code code;  // for CloseTunnel()
    // That the peer has said it with. CODE_UNSPECIFIED: it has not.
    tunnel::proto::Code peer_code = tunnel::proto::CODE_UNSPECIFIED;
  };
  // Begins. `on_end` is called once, never from within a call to this object; it may
  // destroy it.
  void Start(std::function<void(End)> on_end);

  // Resets the connection, for a reason outside it (policy, drain deadline), which is how it
  // ends then. May be called at any time.
  void Stop(absl::Status why, tunnel::proto::Code code);

  const Counters& counters() const { return counters_; }

 private:
  void OnEdge() override { Pump(); }
  void Turn();
  void Pump();
  void FinishSoon();
  void Finish();
  void HoldBack();
  bool StepToTunnel();
  bool StepToPlain();
  void CheckPlain();
  void EndLocal();
  bool TakeControl();
  absl::Status Take(const tls::Record& record);
  absl::Status TakeEnd();
  absl::Status TakeReset(const tunnel::Message& message);
  void FinishAccepted();
  void Fail(absl::Status why, tunnel::proto::Code code);
  bool ended() const { return local_end_ && remote_end_; }
  // Nothing is left to do but to close.
  bool over() const { return done_ || !failure_.ok(); }

  net::AsyncFd plain_;
  tunnel::Tunnel& tunnel_;
  Counters counters_;
  bool holds_back_;          // RESULT may wait for the endpoint's answer
  bool local_end_ = false;   // END sent: the plain socket's stream is over
  bool remote_end_ = false;  // END received
  bool done_ = false;        // DONE received, or sent
  absl::Status failure_;     // the first
  // What to tell the peer about it; CODE_UNSPECIFIED: the tunnel cannot carry it.
  tunnel::proto::Code failure_code_ = tunnel::proto::CODE_UNSPECIFIED;
  tunnel::proto::Code peer_code_ = tunnel::proto::CODE_UNSPECIFIED;  // of its RESET
  net::Timer next_turn_;  // goes on after the thread's others, or holds back no more
  MonotonicTime held_until_ = kNoDeadline;
  std::function<void(End)> on_end_;  // null: not begun, or it has ended
};

// Tells the peer why the connection through `tunnel` has failed, if it can, and closes it.
Awaitable<void> CloseTunnel(tunnel::Tunnel& tunnel, Relay::End end);

}  // namespace tombolo::relay
