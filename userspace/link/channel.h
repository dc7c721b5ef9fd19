// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/time.h"
#include "link/messages.h"
#include "tls/handshake.h"

namespace tombolo::link {

// When something came last on a link. Its thread sets it, any thread may read it.
using HeardAt = std::shared_ptr<const std::atomic<MonotonicTime>>;

// One end of a control connection after its handshake. Owns the session. One thread; destroying it
// closes the socket, so no coroutine may then be using it.
//
// Both ends ask for a sign of life (PING) when they have heard nothing for a while, so that a link
// on which packets are dropped without a word is known to be lost, whichever way they are.
class Channel {
 public:
  // It asks after `ask` of silence, and the link is lost when there is no answer within `answer`.
  Channel(tls::Session session, Duration ask, Duration answer);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  const tls::SessionInfo& info() const { return session_.info; }
  HeardAt heard_at() const { return heard_at_; }

  // Without waiting. Unavailable: the other end does not read.
  absl::Status Post(const Message& message);

  // The other end's HELLO, which is its first message. PermissionDenied: it has said GOAWAY, or
  // refused the certificate.
  Awaitable<absl::StatusOr<Hello>> ReceiveHello(MonotonicTime deadline);
  // The next Offer or GoAway. DeadlineExceeded: none came until `until`; Cancelled: Interrupt().
  // After these call it again. Unavailable: the link is lost. InvalidArgument: the other end broke
  // the protocol.
  Awaitable<absl::StatusOr<Message>> Receive(MonotonicTime until);
  // Ends a Receive() that waits, or the next one.
  void Interrupt();

  // Says why (GOAWAY) if it can, then close_notify, and waits for the other end to close, all
  // within two seconds and as many messages as a link in order may owe; then it is closed.
  Awaitable<void> Close(std::string why);

 private:
  // Of messages that cost nothing, within one window of time.
  bool TooMany();
  absl::StatusOr<Message> Understand(const tls::Record& record);

  tls::Session session_;
  const Duration ask_, answer_;
  const std::shared_ptr<std::atomic<MonotonicTime>> heard_at_;
  MonotonicTime asked_at_;    // with PING
  bool asked_ = false;        // since then
  bool interrupted_ = false;  // and nobody has been told
  MonotonicTime window_;
  int messages_ = 0;
};

}  // namespace tombolo::link
