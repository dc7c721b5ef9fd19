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
// What is sent goes out in the order of the calls. What the socket has no room for
// waits here, bounded, and follows by itself when there is room.
//
// One thread. One coroutine may wait in Receive at a time; the calls that do not wait
// may be made at any time.
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

  // Sends all of `data` as application data: for little of it, SendFrom is for much.
  // It waits for its turn and until the socket has taken everything.
  virtual Awaitable<absl::Status> Send(absl::Span<const std::uint8_t> data,
                                       MonotonicTime deadline) = 0;

  // Sends `data` without waiting, with what `more` has held back before it: all of it, or
  // nothing while the socket is full. Returns how much; after an error a part may have gone.
  // For little of it, like Send.
  virtual absl::StatusOr<std::size_t> PostData(absl::Span<const std::uint8_t> data) = 0;

  // Sends one control record of at most 4 KiB, without waiting. Behind data that the
  // socket has no room for at most 64 KiB may wait: then Unavailable. `more`: something
  // else is sent soon, and one write may carry both; or else Flush() is due.
  virtual absl::Status PostControl(absl::Span<const std::uint8_t> message, bool more = false) = 0;
  // Writes what `more` has held back. An error shows in the next call that sends.
  virtual void Flush() = 0;
  // The same, and waits until the socket has taken it, unless it waits behind data.
  virtual Awaitable<absl::Status> SendControl(absl::Span<const std::uint8_t> message,
                                              MonotonicTime deadline) = 0;

  // What one step of moving bytes came to. No step waits.
  enum class Step {
    kMoved,         // something has moved: go on
    kPlainBlocked,  // wait for an edge of `plain`
    kPeerBlocked,   // wait for an edge of this stream
    kEnd,           // SendFrom: `plain`'s stream has ended
    kControl,       // ReceiveTo: a control record is next; TryReceive() takes it
  };
  // Neither while a Send() is under way.
  // Moves one batch of bytes from `plain` into records. `moved` counts those that were
  // taken from `plain`; they are on their way, whatever the socket has room for. There is no
  // deadline: the peer's application may read slowly, and a dead peer ends the tunnel's TCP.
  virtual absl::StatusOr<Step> SendFrom(net::AsyncFd& plain, std::uint64_t& moved) = 0;
  // Moves what has arrived to `plain`, up to the next control record. `moved` counts.
  virtual absl::StatusOr<Step> ReceiveTo(net::AsyncFd& plain, std::uint64_t& moved) = 0;

  // Who is told of edges: something may have arrived, or there is room again. Null:
  // nobody. Called from the loop only; it may destroy this object.
  virtual void SetListener(net::EdgeListener* listener) = 0;

  // Flushes, sends close_notify, shuts the sending side down.
  virtual Awaitable<void> CloseNotify(MonotonicTime deadline) = 0;

  // Ends a pending Receive with Cancelled. No record is lost.
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

  // Something received waits in user space, if only a part of a record.
  virtual bool buffered() const = 0;
  // Nothing does, and nothing is unsent.
  virtual bool quiet() const = 0;

  virtual net::AsyncFd& socket() = 0;
  virtual const net::AsyncFd& socket() const = 0;
};

}  // namespace tombolo::tls
