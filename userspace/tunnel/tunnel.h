// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/time.h"
#include "tls/handshake.h"
#include "tunnel/messages.h"

namespace tombolo::tunnel {

enum class Role { kDialer, kAcceptor };

// One mTLS connection between two agents after its handshake, carrying one
// application connection at a time. Owns the session. One thread; destroying it
// closes the socket, so no coroutine may then be using it.
class Tunnel {
 public:
  Tunnel(tls::Session session, Role role);
  Tunnel(const Tunnel&) = delete;
  Tunnel& operator=(const Tunnel&) = delete;

  const tls::SessionInfo& info() const { return session_.info; }
  tls::RecordStream& stream() { return *session_.stream; }
  const tls::RecordStream& stream() const { return *session_.stream; }
  tls::RecordStream::Usage usage() const { return session_.stream->usage(); }
  Role role() const { return role_; }
  std::uint64_t id() const { return id_; }  // unique in this process, for people
  MonotonicTime opened_at() const { return opened_at_; }

  // The number of the present connection, or of the last one; 0 before the first.
  std::uint32_t connection() const { return connection_; }
  std::uint32_t BeginConnection() { return ++connection_; }

  // Sends HELLO. The peer's is taken by ExpectHello, in order with what follows.
  absl::Status PostHello(bool more = false);
  Awaitable<absl::Status> ExpectHello(MonotonicTime deadline);
  absl::Status TakeHello(const Message& message);
  bool greeted() const { return greeted_; }

  // Asks the peer for a sign of life (PING), without waiting. Again once it has been answered.
  absl::Status Ping(MonotonicTime now);
  // When it was asked, while it has not answered; nullopt: nothing is due.
  std::optional<MonotonicTime> asked_at() const;
  void ForgetPing() { asked_at_ = kNotAsked; }

  // Sends without waiting (RecordStream::PostControl).
  absl::Status Post(MessageType type, absl::string_view payload, bool more = false);
  // Sends, and waits until the socket has taken it.
  Awaitable<absl::Status> Send(MessageType type, std::string payload, MonotonicTime deadline);

  // Understands a control record; PING and GOAWAY are dealt with here, and then,
  // as for an optional message that is not known, the answer is NotFound: go on.
  // InvalidArgument: the peer broke the protocol; the tunnel must end.
  absl::StatusOr<Message> Understand(const tls::Record& record);

  // The next message of the present connection (or OPEN of the next one).
  // Application data here is a protocol error.
  Awaitable<absl::StatusOr<Message>> Receive(MonotonicTime deadline);
  // The same without waiting: Unavailable with EAGAIN (ErrnoOf) when none is there.
  absl::StatusOr<Message> TryReceive();

  // The peer said GOAWAY, or the SVID of either side has expired: no further
  // connection may begin here.
  bool reusable() const;
  void Retire() { going_away_ = true; }

  // Says why (GOAWAY, RESET) if it can, then close_notify, then closes. Never waits
  // for longer than two seconds, or twice that with a message.
  Awaitable<void> GoAway(std::string message);
  Awaitable<void> Reset(proto::Code code, std::string message);
  Awaitable<void> Close();

  // Where it leads, for logs: filled by the dialer or the acceptor.
  std::string peer_address;
  std::string pool_key;
  std::string service;  // namespace/name: with the port, what the server name stands for
  std::uint16_t port = 0;
  MonotonicTime last_used = std::chrono::steady_clock::now();
  MonotonicTime heard_at = last_used;  // the latest sign of life that its keeper knows of
  tls::CredentialsPtr credentials;     // the dialer's own, as of the handshake

 private:
  static constexpr MonotonicTime kNotAsked = MonotonicTime::min();

  Bytes EncodeNow(MessageType type, absl::string_view payload) const;
  bool TooManyAside();
  absl::Status WithGoodbye(const absl::Status& status) const;

  tls::Session session_;
  const Role role_;
  const std::uint64_t id_;
  const MonotonicTime opened_at_ = std::chrono::steady_clock::now();
  std::uint32_t connection_ = 0;
  MonotonicTime asked_at_ = kNotAsked;
  MonotonicTime side_window_;  // when the present count began
  int side_messages_ = 0;
  bool greeted_ = false;
  bool going_away_ = false;
  std::string goodbye_;  // what the peer's GOAWAY said
};

}  // namespace tombolo::tunnel
