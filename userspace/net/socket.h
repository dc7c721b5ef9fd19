// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/time.h"
#include "net/address.h"
#include "net/async_fd.h"

namespace tombolo::net {

// A listening, non-blocking TCP socket. IPv6 ones are IPv6 only.
absl::StatusOr<Fd> Listen(const SocketAddress& address, int backlog);

// A non-blocking TCP socket for `address`'s family, in this thread's namespace.
absl::StatusOr<Fd> TcpSocket(const SocketAddress& address);

// Makes `socket` leave from `ip`, with a port chosen at connect(). An address that
// is not local to the socket's network namespace is refused (EADDRNOTAVAIL).
absl::Status BindSource(int fd, const IpAddress& ip);

// Connects `socket` (from TcpSocket) and waits until it is done. Takes the
// socket so that it can be made in another network namespace.
Awaitable<absl::StatusOr<AsyncFd>> Connect(Poller& poller, Fd socket, SocketAddress address,
                                           MonotonicTime deadline);

// All of `bytes`; of what was sent until the error nothing is known.
Awaitable<absl::Status> SendAll(AsyncFd& fd, absl::string_view bytes, MonotonicTime deadline);

struct Accepted {
  Fd socket;
  SocketAddress peer;
};
// The next connection, non-blocking and TCP_NODELAY. Unavailable (with EMFILE or
// ENFILE) when descriptors have run out: wait before the next try.
Awaitable<absl::StatusOr<Accepted>> Accept(AsyncFd& listener);

// Both ends of a new TCP connection over 127.0.0.1, non-blocking and TCP_NODELAY.
absl::StatusOr<std::pair<Fd, Fd>> LoopbackPair();

absl::StatusOr<SocketAddress> PeerAddress(int fd);
absl::StatusOr<SocketAddress> LocalAddress(int fd);

// Small writes leave at once: both ends write whole messages.
void SetNoDelay(int fd);
// A peer that is gone while nothing is on its way is noticed after a minute
// (keepalive); one with unacknowledged data after net.ipv4.tcp_retries2. There is
// no TCP_USER_TIMEOUT: it also ends connections to a live peer that does not read
// for that long (net/ipv4/tcp_timer.c, tcp_probe_timer). Of a listener: that of what it accepts.
void SetKeepAlive(int fd);
// Acknowledgements wait for data that goes the same way, for 40 ms at least if there is none
// (tcp(7), TCP_QUICKACK): for a protocol of questions and answers that saves a packet or two.
// Before connect(), by whoever then speaks first: its first bytes end the handshake. Of a
// listener: for what it accepts. TCP may leave this mode again by itself.
void DelayAcknowledgements(int fd);
// The next close() sends RST instead of FIN, and drops what is unsent. Of a listener: that of
// every connection that it accepts from now on.
void ResetOnClose(int fd);
// Undoes ResetOnClose.
void CloseInOrder(int fd);
// SO_ERROR, cleared by reading it.
int TakeError(int fd);
// What TCP knows of a connection, for people.
struct TcpState {
  std::chrono::microseconds round_trip{0};  // smoothed
  std::uint32_t retransmits = 0;            // segments, in all
};
absl::StatusOr<TcpState> ReadTcpState(int fd);
// Bytes that TCP has been given to send, from some number on that is the connection's own: two
// of them differ by what was given in between. Unavailable: the connection is gone, and TCP takes
// no more.
absl::StatusOr<std::uint64_t> BytesGivenToTcp(int fd);
// The connection has ended both ways and the peer has acknowledged everything.
bool IsClosed(int fd);

}  // namespace tombolo::net
