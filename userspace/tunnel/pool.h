// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/asio.h"
#include "base/task_group.h"
#include "base/time.h"
#include "net/poller.h"
#include "tunnel/tunnel.h"

namespace tombolo::tunnel {

// The dialer's idle tunnels, by (source identity, server name, destination). An
// idle tunnel is watched without a coroutine: what arrives on it (PING, GOAWAY,
// close) is dealt with at once, so a dead tunnel is rarely handed out.
//
// One thread. Shut down before destroying.
class Pool {
 public:
  struct Options {
    Duration idle_limit = std::chrono::seconds(60);
    std::size_t max_per_key = 256;
    std::size_t max_idle = 4096;
    // Told why, before a tunnel ends whose peer broke the protocol while it was idle.
    std::function<void(const Tunnel&, const absl::Status&)> on_protocol_error = nullptr;
  };

  Pool(net::Poller& poller, Options options);
  ~Pool();

  // The most recently used idle tunnel of `key`, or null.
  std::unique_ptr<Tunnel> Take(const std::string& key);

  // Keeps `tunnel` for the next connection of its pool_key, or closes it when it
  // must not be used again or there are enough.
  void Put(std::unique_ptr<Tunnel> tunnel);

  // Says goodbye and closes, in the background.
  void Discard(std::unique_ptr<Tunnel> tunnel);

  // Closes every idle tunnel for which `stale` holds.
  void DiscardIf(const std::function<bool(const Tunnel&)>& stale);

  void ForEach(const std::function<void(const Tunnel&)>& visit) const;
  std::size_t size() const { return size_; }

  // Says goodbye on every tunnel, for at most two seconds, and keeps no more.
  Awaitable<void> ShutDown();

 private:
  class Idle;

  void Sweep();
  void Inspect(Idle& idle);
  void Report(const Tunnel& tunnel, const absl::Status& status) const;
  static Awaitable<void> EndBroken(std::unique_ptr<Tunnel> tunnel, std::string why);
  static Awaitable<void> SayGoodbye(std::unique_ptr<Tunnel> tunnel);
  std::unique_ptr<Tunnel> Remove(const Idle& idle);

  net::Poller& poller_;
  const Options options_;
  absl::flat_hash_map<std::string, std::vector<std::unique_ptr<Idle>>> idle_;  // newest at the back
  std::size_t size_ = 0;
  bool shut_down_ = false;
  net::Timer sweep_timer_;
  TaskGroup tasks_;
};

}  // namespace tombolo::tunnel
