// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "net/async_fd.h"
#include "net/buffer_pool.h"
#include "tls/key_schedule.h"
#include "tls/record_stream.h"

namespace tombolo::tls {

// What both record layers share: the socket, its listener, and waiting until
// what was sent has been taken.
//
// A layer keeps what the socket has no room for. It is written when the socket has
// room again, by the loop, so that nobody has to wait for it who does not want to.
class SendingStream : public RecordStream, private net::EdgeListener {
 public:
  Awaitable<absl::Status> Send(absl::Span<const std::uint8_t> data,
                               MonotonicTime deadline) override;
  absl::StatusOr<std::size_t> PostData(absl::Span<const std::uint8_t> data) override;
  Awaitable<absl::Status> SendControl(absl::Span<const std::uint8_t> message,
                                      MonotonicTime deadline) override;
  void Flush() override { (void)WriteUnsent(); }
  void SetListener(net::EdgeListener* listener) override { listener_ = listener; }
  Awaitable<void> CloseNotify(MonotonicTime deadline) override;
  void CancelReceive() override { socket_.CancelRead(); }
  bool quiet() const override { return !sending_ && !unsent() && !buffered(); }
  net::AsyncFd& socket() override { return socket_; }
  const net::AsyncFd& socket() const override { return socket_; }

 protected:
  SendingStream(net::AsyncFd socket, net::BufferPool& pool, TrafficSecrets secrets);
  ~SendingStream() override;

  enum class Sent { kAll, kBlocked, kFailed };

  // Bytes wait to be written.
  virtual bool unsent() const = 0;
  // Writes them. kBlocked: the socket has no room (and ClearWritable() was called).
  // kFailed: Fail() was called.
  virtual Sent Write() = 0;
  // Gives up what waits to be written.
  virtual void DropUnsent() = 0;
  // Puts as much of `data` as it likes, and something, behind what waits; how much.
  virtual absl::StatusOr<std::size_t> Append(absl::Span<const std::uint8_t> data) = 0;
  // Sends close_notify so that a shutdown() loses nothing. Nothing else is unsent.
  virtual Awaitable<absl::Status> WriteCloseNotify(MonotonicTime deadline) = 0;

  // Writes what waits, if there is room, and lets those go on who waited for it.
  Sent WriteUnsent();
  // Waits until nothing is unsent. DeadlineExceeded changes nothing.
  Awaitable<absl::Status> WaitSent(MonotonicTime deadline);
  bool sending() const { return sending_; }

  // Once it is not OK, nothing is sent any more. The first error stays.
  const absl::Status& send_status() const { return send_status_; }
  void Fail(const absl::Status& status);
  // send() to the peer failed with this errno.
  Sent FailWrite(int error);

  net::AsyncFd socket_;
  net::BufferPool& pool_;
  TrafficSecrets secrets_;

 private:
  void OnEdge() override;
  void WakeWaiting();
  Awaitable<absl::Status> WaitForTurn(MonotonicTime deadline);

  absl::Status send_status_;
  bool sending_ = false;               // a Send() is under way
  std::vector<net::Waiter*> waiting_;  // woken when something has changed for senders
  net::EdgeListener* listener_ = nullptr;
};

}  // namespace tombolo::tls
