// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "agent/context.h"
#include "agent/event_thread.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/task_group.h"

namespace tombolo::agent {

// One data-plane thread: an event loop and every connection that it accepted. A
// connection lives and dies on one thread, so nothing here is locked. The control
// thread reaches it only by Post().
class DataThread {
 public:
  // The thread stays in the network namespace of the caller.
  static absl::StatusOr<std::unique_ptr<DataThread>> Start(const Settings& settings,
                                                           datapath::Datapath& datapath,
                                                           Counters& counters,
                                                           ServiceCounterTable& services,
                                                           Quotas& quotas);
  // Begins to end what still runs: connections at once, tunnels with farewells of a few
  // seconds at most.
  void Stop();
  // Stops, and joins the thread.
  ~DataThread();

  // Runs `task` on the thread, in the order of the calls.
  void Post(std::function<void(DataThread&)> task);

  // The same, and waits for its value on the caller's executor.
  template <typename T>
  Awaitable<T> Ask(std::function<T(DataThread&)> question) {
    return events_->Ask<T>([this, question = std::move(question)] { return question(*this); });
  }

  // What follows is called on the thread itself, from a posted task.

  // `listener` is a duplicate of a workload namespace's listening socket.
  void AddListener(std::uint64_t key, Fd listener, std::uint64_t netns_cookie);
  void RemoveListener(std::uint64_t key);
  void AddTunnelListener(Fd listener);
  // Takes over a new World, and ends what it no longer allows.
  void SetWorld(WorldPtr world);
  // Refuses what is new, lets idle tunnels go; running connections go on.
  void Drain();
  // Ends the connections that it has dialled to that cluster before `begun`.
  void EndConnectionsTo(const std::string& cluster, MonotonicTime begun);
  // Resets what still runs.
  void ResetAll();
  Context& context() { return *context_; }

 private:
  DataThread(const Settings& settings, datapath::Datapath& datapath, Counters& counters,
             ServiceCounterTable& services, Quotas& quotas);
  absl::Status SetUp();
  // Of the idle tunnels: what a PING has shown.
  void OnAnswer(const tunnel::Tunnel& tunnel, Duration took);
  void OnWayDead(const tunnel::Tunnel& tunnel);
  void Recheck();
  void StopRelays(const absl::Status& why, tunnel::proto::Code code);
  void RetireAccepted(const std::function<bool(const tunnel::Tunnel&)>& which);
  Awaitable<void> ShutDown();

  const Settings& settings_;
  datapath::Datapath& datapath_;
  Counters& counters_;
  KnownServiceCounters services_;
  Quotas& quotas_;
  // In the order of their dependence: destroyed from the last to the first.
  std::unique_ptr<EventThread> events_;
  net::Poller* poller_ = nullptr;  // of that
  net::BufferPool buffers_;
  std::unique_ptr<DialSlots> dials_;
  std::unique_ptr<net::NetworkNamespace> own_namespace_;
  std::unique_ptr<balance::Balancer> balancer_;
  std::unique_ptr<tunnel::Pool> pool_;
  std::unique_ptr<Context> context_;
  std::map<std::uint64_t, std::shared_ptr<net::AsyncFd>> listeners_;
  std::shared_ptr<net::AsyncFd> tunnel_listener_;
  std::unique_ptr<TaskGroup> tasks_;
};

}  // namespace tombolo::agent
