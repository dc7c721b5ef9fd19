// SPDX-License-Identifier: Apache-2.0
#include "agent/accept_loop.h"

#include <cerrno>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/errno_status.h"
#include "base/rate_limited_log.h"
#include "base/time.h"
#include "net/socket.h"

namespace tombolo::agent {
namespace {

constexpr unsigned kAcceptsPerTurn = 64;
// When not even refusing is possible, the next try waits for a descriptor to come back.
constexpr Duration kAcceptPause = std::chrono::milliseconds(50);

// While connections keep coming accept() does not wait; the others get their turn.
Awaitable<void> GiveWay(asio::io_context& io, unsigned& accepted) {
  if (++accepted % kAcceptsPerTurn == 0) co_await asio::post(io, asio::use_awaitable);
}

Awaitable<void> Pause(asio::io_context& io) {
  asio::steady_timer timer(io, kAcceptPause);
  (void)co_await timer.async_wait(kUseTuple);
}

bool Closed(const absl::Status& status) {
  return absl::IsCancelled(status) || ErrnoOf(status) == EBADF;
}

}  // namespace

Awaitable<void> AcceptAll(std::shared_ptr<net::AsyncFd> listener, ReserveDescriptor& reserve,
                          AcceptedBy by) {
  asio::io_context& io = listener->poller().io();
  unsigned accepted = 0;
  for (;;) {
    absl::StatusOr<Fd> connection = co_await net::Accept(*listener);
    if (connection.ok()) {
      if (reserve.Keep()) {
        by.serve(*std::move(connection));
      } else {
        by.refuse(*std::move(connection), ReserveNeeded());
        (void)reserve.Keep();
      }
      co_await GiveWay(io, accepted);
      continue;
    }
    if (Closed(connection.status())) co_return;
    const absl::Status why = connection.status();
    const absl::Status refused = reserve.RefuseOne(
        listener->get(), [&](Fd refused_fd) { by.refuse(std::move(refused_fd), why); });
    if (refused.ok()) {
      co_await GiveWay(io, accepted);
    } else if (ErrnoOf(refused) == EAGAIN) {
      // For want of a descriptor accept() fails also when nobody waits.
      listener->ClearReadable();
      if (!(co_await listener->WaitReadable()).ok()) co_return;
    } else {
      log::WriteLimited(log::Level::kWarning, "connections wait to be accepted", "",
                        {{"reason", why}});
      co_await Pause(io);
    }
  }
}

}  // namespace tombolo::agent
