// SPDX-License-Identifier: Apache-2.0
#include "agent/dial_slots.h"

#include "absl/cleanup/cleanup.h"

namespace tombolo::agent {

Awaitable<absl::StatusOr<DialSlots::Slot>> DialSlots::Take(MonotonicTime deadline) {
  if (free_ > 0) {
    --free_;
    co_return Slot(this);
  }
  Turn turn(poller_);
  waiting_.push_back(&turn);
  bool taken = false;
  // Also when the coroutine is destroyed: a slot that came meanwhile goes on.
  const absl::Cleanup leave = [&] {
    if (!turn.granted) waiting_.remove(&turn);
    if (turn.granted && !taken) Release();
  };
  (void)co_await turn.waiter.Wait(deadline);
  if (!turn.granted) {
    co_return absl::DeadlineExceededError("too many tunnels are being dialled at a time");
  }
  taken = true;
  co_return Slot(this);
}

std::optional<DialSlots::Slot> DialSlots::TakeFree() {
  if (free_ == 0) return std::nullopt;
  --free_;
  return Slot(this);
}

void DialSlots::Release() {
  if (waiting_.empty()) {
    ++free_;
    return;
  }
  Turn* const next = waiting_.front();
  waiting_.pop_front();
  next->granted = true;
  next->waiter.Wake();
}

}  // namespace tombolo::agent
