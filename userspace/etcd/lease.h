// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "base/time.h"
#include "etcd/client.h"

namespace tombolo::etcd {

// Has a lease for as long as it lives: takes one, keeps it alive, and when it is lost takes
// another one. Owns its client and one thread, on which both callbacks run, one at a time,
// in turn: held, lost, held, ... A callback must not destroy the KeptLease.
//
// Destroying it ends the lease, so that its keys go at once, and waits for that for a ttl at
// most; without an answer the lease ends by itself.
class KeptLease {
 public:
  struct Options {
    Client::Options client;
    Duration ttl = std::chrono::seconds(15);  // at least 3 s; renewed three times as often
    Duration first_delay = std::chrono::milliseconds(100);
    Duration max_delay = std::chrono::seconds(5);
  };
  // Keys may be put with it now.
  using OnHeld = std::function<void(std::int64_t lease)>;
  // Told before others may think so, as far as this process runs: whoever must not act on a
  // lease that is over, for example because he was stopped in between, puts keys on the
  // condition that one of them still has it.
  using OnLost = std::function<void(const absl::Status& why)>;

  KeptLease(Options options, OnHeld on_held, OnLost on_lost);
  ~KeptLease();

  std::int64_t held() const;  // 0: none just now. Any thread.

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace tombolo::etcd
