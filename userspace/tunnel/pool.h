// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
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

// The dialer's idle tunnels, by pool_key. An idle tunnel is watched without a
// coroutine: what arrives on it (PING, GOAWAY, close) is dealt with at once, so a
// dead tunnel is rarely handed out.
//
// A peer, or all of a way (the tunnels to one peer_address), may also die without a
// word: packets are dropped. So of each key and way the tunnel that would be handed out next is
// asked (PING) when nothing has been heard on it for a while. While it owes the answer the
// one behind it is asked too. Without an answer in time it is closed; and if nothing has been
// heard on any other idle tunnel of that way since it was asked, the way is dead, and all of
// them are closed. Both cost 16 bytes a tunnel.
//
// One thread. Shut down before destroying.
class Pool {
 public:
  struct Options {
    Duration idle_limit = std::chrono::seconds(60);
    std::size_t max_per_key = 256;
    std::size_t max_idle = 4096;
    // A tunnel is asked after such a silence, and has as long to answer. Zero: none is.
    Duration ping{};
    std::function<MonotonicTime()> now = &std::chrono::steady_clock::now;
    // Told why, before a tunnel ends whose peer broke the protocol while it was idle.
    std::function<void(const Tunnel&, const absl::Status&)> on_protocol_error = nullptr;
    // How long the answer to a PING took.
    std::function<void(const Tunnel&, Duration)> on_round_trip = nullptr;
    // The way of this tunnel is dead; it and all others of the way are closed.
    std::function<void(const Tunnel&)> on_way_dead = nullptr;
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

  // Closes what has been idle for too long, and asks the others. Happens by itself, every second
  // or more often.
  void Sweep();

  // The idle tunnel that Take() would give, which stays where it is; or null.
  const Tunnel* Next(const std::string& key) const;
  void ForEach(const std::function<void(const Tunnel&)>& visit) const;
  std::size_t size() const { return size_; }

  // Says goodbye on every tunnel, for at most two seconds, and keeps no more.
  Awaitable<void> ShutDown();

 private:
  class Idle;

  using Bucket = std::vector<std::unique_ptr<Idle>>;  // the newest at the back

  std::vector<const Idle*> Find(const std::function<bool(const Tunnel&)>& which) const;
  void SweepLater();
  void AskForSignsOfLife();
  void AskOne(const Bucket& bucket, bool stalled, std::vector<const Idle*>& silent) const;
  bool HeardOnWaySince(const std::string& way, MonotonicTime when) const;
  void DropWay(const Tunnel& dead);
  void Inspect(Idle& idle);
  void OnSignOfLife(Tunnel& tunnel, std::optional<MonotonicTime> asked_at) const;
  void Report(const Tunnel& tunnel, const absl::Status& status) const;
  static Awaitable<void> EndBroken(std::unique_ptr<Tunnel> tunnel, std::string why);
  static Awaitable<void> SayGoodbye(std::unique_ptr<Tunnel> tunnel);
  std::unique_ptr<Tunnel> Remove(const Idle& idle);

  net::Poller& poller_;
  const Options options_;
  absl::flat_hash_map<std::string, Bucket> idle_;
  std::size_t size_ = 0;
  MonotonicTime swept_at_;
  bool shut_down_ = false;
  net::Timer sweep_timer_;
  TaskGroup tasks_;
};

}  // namespace tombolo::tunnel
