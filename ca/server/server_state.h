// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "server/admission.h"
#include "server/counters.h"
#include "server/handlers.h"
#include "server/limits.h"
#include "tls/https.h"

namespace tombolo::ca::https {

// What the threads of one server share. Any thread. It also lives for an enrolment whose answer
// comes when the server has gone.
struct ServerState {
  using ContextPtr = std::shared_ptr<const tls::HttpsContext>;

  ServerState(ServerLimits limits_in, Handlers handlers_in, ContextPtr context)
      : limits(limits_in), handlers(std::move(handlers_in)), context_(std::move(context)) {}

  // For handshakes, and what callers are judged by, from now on.
  ContextPtr context() const {
    const std::lock_guard lock(mutex_);
    return context_;
  }
  void SetContext(ContextPtr context) {
    const std::lock_guard lock(mutex_);
    context_ = std::move(context);
  }

  const ServerLimits limits;
  const Handlers handlers;
  ServerCounters counters;
  Admission admission{limits, counters};
  std::atomic<bool> stopping = false;  // each connection ends with what it is doing

 private:
  mutable std::mutex mutex_;
  ContextPtr context_;
};

}  // namespace tombolo::ca::https
