// SPDX-License-Identifier: Apache-2.0
#include "agent/accept_loop.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "base/errno_status.h"
#include "base/rate_limited_log.h"
#include "base/time.h"

namespace tombolo::agent {
namespace {

constexpr unsigned kAcceptsPerTurn = 64;
// When not even refusing is possible, the next try waits for a descriptor to come back.
constexpr Duration kAcceptPause = std::chrono::milliseconds(50);

// While connections keep coming accept() does not wait; the others get their turn.
Awaitable<void> GiveWay(net::Poller& poller, unsigned& accepted) {
  if (++accepted % kAcceptsPerTurn != 0) co_return;
  net::Waiter waiter(poller);
  (void)co_await waiter.Yield();
}

Awaitable<void> Pause(net::Poller& poller) {
  net::Waiter waiter(poller);
  (void)co_await waiter.Wait(After(kAcceptPause));
}

bool Closed(const absl::Status& status) {
  return absl::IsCancelled(status) || ErrnoOf(status) == EBADF;
}

}  // namespace

absl::StatusOr<Fd> DuplicateListener(int listener) {
  Fd copy(fcntl(listener, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return ErrnoStatus(errno, "duplicate a listener");
  return copy;
}

Awaitable<void> AcceptAll(std::shared_ptr<net::AsyncFd> listener, ReserveDescriptor& reserve,
                          AcceptedBy by) {
  net::Poller& poller = listener->poller();
  unsigned accepted = 0;
  for (;;) {
    absl::StatusOr<net::Accepted> connection = co_await net::Accept(*listener);
    if (connection.ok()) {
      if (reserve.Keep()) {
        by.serve(*std::move(connection));
      } else {
        by.refuse(std::move(connection->socket), ReserveNeeded());
        (void)reserve.Keep();
      }
      co_await GiveWay(poller, accepted);
      continue;
    }
    if (Closed(connection.status())) co_return;
    const absl::Status why = connection.status();
    const absl::Status refused = reserve.RefuseOne(
        listener->get(), [&](Fd refused_fd) { by.refuse(std::move(refused_fd), why); });
    if (refused.ok()) {
      co_await GiveWay(poller, accepted);
    } else if (ErrnoOf(refused) == EAGAIN) {
      // For want of a descriptor accept() fails also when nobody waits.
      listener->ClearReadable();
      const absl::Status waited = co_await listener->WaitReadable();
      if (!waited.ok()) co_return;
    } else {
      log::WriteLimited(log::Level::kWarning, "connections wait to be accepted", "",
                        {{"reason", why}});
      co_await Pause(poller);
    }
  }
}

}  // namespace tombolo::agent
