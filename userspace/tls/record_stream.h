// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/asio.h"
#include "base/time.h"
#include "net/async_fd.h"

namespace tombolo::tls {

// Content types of TLS records (RFC 8446, section 5.1).
enum RecordType : std::uint8_t {
  kAlert = 21,
  kHandshake = 22,
  kApplicationData = 23,
  kControl = 247,  // tombolo/1 control records; never visible on the wire
};

enum class RecordLayer { kUser, kKernel };

struct Record {
  std::uint8_t type = 0;
  absl::Span<const std::uint8_t> payload;  // valid until the next receiving call
};

// An established TLS 1.3 connection after its handshake, as records. This is
// the seam between user-space records and kernel TLS: what is above does not
// know which of the two carries its bytes.
//
// One thread. One coroutine may send application data (Send, SendFrom) while
// another receives; SendControl may be called by either at any time.
//
// Errors of receiving calls: OutOfRange = the peer ended with close_notify;
// DataLoss = TCP ended without one (truncation); DeadlineExceeded; Cancelled;
// PermissionDenied = the peer sent a fatal alert (a refused certificate arrives
// this way); InvalidArgument = the peer broke the protocol (bad MAC, oversized
// record, unexpected type); Unavailable = TCP failed; ResourceExhausted = the
// key's record budget is used up. Of the moving calls SendFrom and ReceiveTo:
// Aborted = the plain socket failed, and the tunnel is intact.
class RecordStream {
 public:
  virtual ~RecordStream() = default;

  // The next record: kApplicationData or kControl. Alerts and KeyUpdate are handled
  // inside; every other handshake record (a ticket) is a protocol error.
  virtual Awaitable<absl::StatusOr<Record>> Receive(MonotonicTime deadline) = 0;

  // Like Receive, without waiting: Unavailable with EAGAIN when no whole record
  // is there (ErrnoOf). For tunnels that idle without a coroutine.
  virtual absl::StatusOr<Record> TryReceive() = 0;

  // Sends all of `data` as application data.
  virtual Awaitable<absl::Status> Send(absl::Span<const std::uint8_t> data,
                                       MonotonicTime deadline) = 0;

  // Sends one control record of at most 4 KiB, after the application data that
  // went before it and never inside a batch. Queues it when a batch is being
  // written, which then carries it. At most 64 KiB may be queued: then Unavailable.
  virtual Awaitable<absl::Status> SendControl(absl::Span<const std::uint8_t> message,
                                              MonotonicTime deadline) = 0;

  // Waits until `plain` has bytes, then moves one batch of them into records.
  // The number of bytes moved; 0 = end of `plain`'s stream. A write that
  // makes no progress has no deadline: the peer's application may read slowly,
  // and a dead peer ends the tunnel's TCP connection.
  virtual Awaitable<absl::StatusOr<std::size_t>> SendFrom(net::AsyncFd& plain) = 0;

  // Moves application data to `plain` until a control record arrives, which it
  // returns. `moved` counts the bytes as they are moved.
  virtual Awaitable<absl::StatusOr<Record>> ReceiveTo(net::AsyncFd& plain,
                                                      std::uint64_t& moved) = 0;

  // Flushes, sends close_notify, shuts the sending side down.
  virtual Awaitable<void> CloseNotify(MonotonicTime deadline) = 0;

  // Ends a pending receiving call with Cancelled. No record is lost.
  virtual void CancelReceive() = 0;

  // Records sent with the present key and received under it.
  struct Usage {
    std::uint64_t sent = 0;  // at most so many, where the kernel makes them
    std::uint64_t received = 0;
    std::uint64_t keys_sent_with = 1;  // KeyUpdates sent, and the first key
  };
  virtual Usage usage() const = 0;

  // Whether this side can receive a KeyUpdate, which HELLO tells the peer.
  virtual bool can_rekey() const = 0;
  // The peer can: from now on the sending key is changed after `records` records,
  // and the budget ends nothing.
  virtual void RekeyEvery(std::uint64_t records) = 0;

  // Which layer carries the records, in both directions.
  virtual RecordLayer layer() const = 0;

  // Nothing received is waiting in user space and nothing is unsent.
  virtual bool quiet() const = 0;

  virtual net::AsyncFd& socket() = 0;
  virtual const net::AsyncFd& socket() const = 0;
};

}  // namespace tombolo::tls
