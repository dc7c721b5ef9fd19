// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/time.h"
#include "net/poller.h"

namespace tombolo::agent {

// How many tunnels one thread dials at a time. Handshakes are work for both sides'
// processors: of a burst that all share them, every one would be ready at the same
// late moment, past its deadline. In order, the first ones are ready while the last
// ones wait. One thread.
class DialSlots {
 public:
  static constexpr std::size_t kSlots = 128;

  // A slot, given back when destroyed.
  class Slot {
   public:
    explicit Slot(DialSlots* slots) : slots_(slots) {}
    Slot(Slot&& other) noexcept : slots_(std::exchange(other.slots_, nullptr)) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(slots_, other.slots_);
      return *this;
    }
    ~Slot() {
      if (slots_ != nullptr) slots_->Release();
    }

   private:
    DialSlots* slots_;
  };

  explicit DialSlots(net::Poller& poller, std::size_t slots = kSlots)
      : poller_(poller), free_(slots) {}

  // First come, first served. DeadlineExceeded when none came free in time.
  Awaitable<absl::StatusOr<Slot>> Take(MonotonicTime deadline);
  // One that is free now.
  std::optional<Slot> TakeFree();

 private:
  // Who waits; `granted` is set with the slot already taken for it.
  struct Turn {
    explicit Turn(net::Poller& poller) : waiter(poller) {}
    net::Waiter waiter;
    bool granted = false;
  };
  void Release();

  net::Poller& poller_;
  std::size_t free_;
  std::list<Turn*> waiting_;
};

}  // namespace tombolo::agent
