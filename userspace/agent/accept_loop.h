// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/reserve_descriptor.h"
#include "base/asio.h"
#include "base/fd.h"
#include "net/async_fd.h"
#include "net/socket.h"

namespace tombolo::agent {

// What becomes of an accepted connection. Neither may wait.
struct AcceptedBy {
  std::function<void(net::Accepted)> serve;
  // There is no descriptor for what serving needs: say why, and close it.
  std::function<void(Fd, absl::Status)> refuse;
};

// For a thread of its own; they all accept from one queue.
absl::StatusOr<Fd> DuplicateListener(int listener);

// Accepts until `listener` is closed. While descriptors are out, connections are
// refused at once with the help of `reserve`, which outlives the call.
Awaitable<void> AcceptAll(std::shared_ptr<net::AsyncFd> listener, ReserveDescriptor& reserve,
                          AcceptedBy by);

}  // namespace tombolo::agent
