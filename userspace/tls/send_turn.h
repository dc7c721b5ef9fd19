// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "base/asio.h"
#include "base/time.h"
#include "net/poller.h"

namespace tombolo::tls {

// Whose turn it is to write to a stream: one coroutine at a time, because a write
// that waits for room in the middle of a record must not be overtaken. One thread.
class SendTurn {
 public:
  // Holds the turn while it lives; made only while nobody else does. A coroutine
  // that is destroyed before Done() may have cut a record in two, so that nothing
  // may follow it.
  class Holder {
   public:
    explicit Holder(SendTurn& turn) : turn_(turn) { turn_.taken_ = true; }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    ~Holder();
    // The write has come to its end, good or bad; `status` if it was bad.
    absl::Status Done(absl::Status status);

   private:
    SendTurn& turn_;
    bool done_ = false;
  };

  explicit SendTurn(net::Poller& poller) : poller_(poller) {}

  // OK when nobody is writing; the caller makes a Holder before it waits again.
  Awaitable<absl::Status> Wait(MonotonicTime deadline);
  bool taken() const { return taken_; }

  // Once it is not OK, nothing is sent any more. The first error stays.
  const absl::Status& status() const { return status_; }
  void Fail(const absl::Status& status) { status_.Update(status); }

 private:
  net::Poller& poller_;
  bool taken_ = false;
  absl::Status status_;
  std::vector<net::Waiter*> waiting_;  // woken when a holder has gone
};

}  // namespace tombolo::tls
