// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/dialed_links.h"
#include "agent/event_thread.h"
#include "agent/gateway_context.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/task_group.h"
#include "net/async_fd.h"
#include "net/buffer_pool.h"

namespace tombolo::agent {

// One of a gateway's data threads: an event loop and every tunnel that it accepted. A tunnel lives
// and dies on one thread, so nothing here is locked.
class GatewayThread {
 public:
  // What all threads have together; it outlives them.
  struct Shared {
    Quotas& quotas;
    link::Stock& stock;
    net::WanOptions wan;
  };
  // The thread stays in the network namespace of the caller. One thread keeps the links that this
  // gateway dials: it has `serve_spare`, which hands what comes of them to any thread.
  static absl::StatusOr<std::unique_ptr<GatewayThread>> Start(
      const Shared& shared, std::function<void(Fd)> serve_spare = nullptr);
  // Begins to reset what still runs.
  void Stop();
  // Stops, and waits until the thread has ended. What is posted to it then never runs.
  void Join();
  ~GatewayThread() { Join(); }

  // Runs `task` on the thread, in the order of the calls.
  void Post(std::function<void(GatewayThread&)> task);
  // The same, and waits for its value on the caller's executor.
  template <typename T>
  Awaitable<T> Ask(std::function<T(GatewayThread&)> question) {
    return events_->Ask<T>([this, question = std::move(question)] { return question(*this); });
  }
  const GatewayCounters& counters() const { return counters_; }  // any thread
  // Those that this thread keeps; any thread.
  std::vector<DialedLinkView> dialed_links() const;
  DialedLinkCounts dialed_counts() const;

  // What follows is called on the thread itself, from a posted task.

  // `listener` is a duplicate of the gateway's. What it accepts resets on close.
  void AddListener(Fd listener);
  // Of a spare that this gateway has dialled, with the first bytes of a tunnel.
  void ServeSpare(Fd socket);
  // Holds for what comes next: running tunnels go on, and links that are still allowed.
  void SetWorld(GatewayWorldPtr world);
  // Accepts no more, and says goodbye on every link.
  void Drain();
  // Resets what still runs.
  void ResetAll();
  const GatewayContext& context() const { return *context_; }
  // What a drain waits for: tunnels, and links that have not said goodbye yet.
  std::size_t Running() const;

 private:
  // Two descriptors each. Each slow reader of bulk holds one; those that find none left have
  // their bytes copied.
  static constexpr std::size_t kPipes = 512;
  // What a network card receives may be in fragments of a packet each: with the default's 16 a
  // splice would move 23 KiB. Even where fragments are large this takes a third off a byte's CPU.
  static constexpr std::size_t kPipeSize = 1024 * 1024;

  explicit GatewayThread(Quotas& quotas) : quotas_(quotas) {}
  absl::Status SetUp(const Shared& shared, std::function<void(Fd)> serve_spare);
  Awaitable<void> ShutDown();

  Quotas& quotas_;
  GatewayCounters counters_;
  // In the order of their dependence: destroyed from the last to the first.
  std::unique_ptr<EventThread> events_;
  net::BufferPool buffers_{kPipes, kPipeSize};
  std::unique_ptr<TaskGroup> tasks_;
  std::unique_ptr<GatewayContext> context_;
  std::unique_ptr<DialedLinks> dialed_links_;  // null: another thread has them
  std::shared_ptr<net::AsyncFd> listener_;
};

}  // namespace tombolo::agent
