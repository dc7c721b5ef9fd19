// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "net/async_fd.h"
#include "net/buffer_pool.h"

namespace tombolo::gateway {

// Moves bytes between two TCP connections until both directions have ended, and looks at none of
// them. The end of a stream is passed on as an end in its direction only, a reset as a reset.
//
// Bulk goes through pipes (splice), the rest through a buffer; either is held only while there are
// bytes in it. It lives on the edges of its sockets: between them it is these few fields, with no
// coroutine.
//
// Owns both sockets. One thread. Once begun, destroy it only when it has ended.
class Mover final : private net::EdgeListener {
 public:
  // Bytes, as they are read.
  struct Counts {
    std::uint64_t to_node = 0, from_node = 0;
  };
  // Of all the movers of a thread. Any thread may read them.
  struct Totals {
    std::atomic<std::uint64_t> to_node{0}, from_node{0};
  };

  // Both sockets reset on close (net::ResetOnClose) until both streams have ended in order: should
  // this process die, neither peer must take the end of its connection for the end of the stream.
  Mover(net::AsyncFd client, net::AsyncFd node, net::BufferPool& pool, Totals& all);

  // Before Start(): `call` is called once, when the client has sent something after the node has.
  // No handshake gets that far unless both want it. It must not destroy this.
  void WhenAnswered(std::function<void()> call) { on_answered_ = std::move(call); }

  // Begins. `on_end` is called once, never from within a call to this object; it may destroy it.
  // OK: both streams ended in order. Otherwise why both connections were reset.
  void Start(std::function<void(absl::Status)> on_end);
  // Resets both. May be called at any time.
  void Stop(absl::Status why);

  const Counts& counts() const { return counts_; }
  const net::AsyncFd& client() const { return client_; }

 private:
  struct Direction {
    net::AsyncFd& from;
    net::AsyncFd& to;
    const char* from_name;
    const char* to_name;
    std::uint64_t& own;
    std::atomic<std::uint64_t>& all;
    net::PipePool::Lease pipe{};       // bytes that `to` has no room for
    std::vector<std::uint8_t> rest{};  // or these
    bool bulk = false;
    bool ended = false;

    bool holds() const { return pipe.bytes() > 0 || !rest.empty(); }
  };

  void OnEdge() override { Pump(); }
  void Turn();
  void Pump();
  void Finish();
  void FinishSoon();
  void CheckReset(const net::AsyncFd& socket, const char* name);
  bool Step(Direction& direction);
  bool Write(Direction& direction);
  bool Splice(Direction& direction);
  bool Copy(Direction& direction);
  bool TakeRead(Direction& direction, ssize_t got, int error);
  bool SendOrKeep(Direction& direction, const std::uint8_t* bytes, std::size_t size);
  void NoteAnswer(const Direction& direction);
  void Fail(absl::Status why);
  bool over() const { return done_ || !failure_.ok(); }

  net::AsyncFd client_, node_;
  net::BufferPool& pool_;
  Counts counts_;
  Direction up_, down_;
  bool done_ = false;
  absl::Status failure_;                      // the first
  std::function<void()> on_answered_;         // null: it has been called, or nobody asks
  net::Timer next_turn_;                      // goes on after the thread's others
  std::function<void(absl::Status)> on_end_;  // null: not begun, or it has ended
};

}  // namespace tombolo::gateway
