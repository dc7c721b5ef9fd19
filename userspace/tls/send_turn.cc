// SPDX-License-Identifier: Apache-2.0
#include "tls/send_turn.h"

#include "absl/cleanup/cleanup.h"

namespace tombolo::tls {

SendTurn::Holder::~Holder() {
  if (!done_) turn_.Fail(absl::CancelledError("a write was abandoned"));
  turn_.taken_ = false;
  for (net::Waiter* waiter : turn_.waiting_) waiter->Wake();
}

absl::Status SendTurn::Holder::Done(absl::Status status) {
  done_ = true;
  turn_.Fail(status);
  return status;
}

Awaitable<absl::Status> SendTurn::Wait(MonotonicTime deadline) {
  while (taken_) {
    net::Waiter holder_gone(poller_);
    waiting_.push_back(&holder_gone);
    const absl::Cleanup forget = [&] { std::erase(waiting_, &holder_gone); };
    const auto end = co_await holder_gone.Wait(deadline);
    if (end == net::Waiter::End::kDeadline && taken_)
      co_return absl::DeadlineExceededError("timed out waiting to send");
  }
  co_return status_;
}

}  // namespace tombolo::tls
