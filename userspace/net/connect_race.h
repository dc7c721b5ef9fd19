// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/time.h"
#include "net/address.h"
#include "net/async_fd.h"

namespace tombolo::net {

// Connects `socket` (from TcpSocket), which is done when what this returns is writable.
absl::StatusOr<AsyncFd> BeginConnect(Poller& poller, Fd socket, const SocketAddress& address);
// Of one that is done: why there is no connection.
absl::Status EndConnect(AsyncFd& socket, const SocketAddress& address);

// TCP connections that are being made beside each other, because one of them takes long (RFC 8305
// does so with addresses of one name). Nothing is sent on any of them. Owns them until Next() or
// TakeRest() gives them away. One thread, and not destroyed during Next().
class ConnectRace final : private EdgeListener {
 public:
  explicit ConnectRace(Poller& poller) : poller_(poller) {}
  ConnectRace(const ConnectRace&) = delete;
  ConnectRace& operator=(const ConnectRace&) = delete;
  ~ConnectRace();

  // `number` is the caller's name for it. Error: it has failed at once, and takes no part.
  absl::Status Begin(std::size_t number, Fd socket, const SocketAddress& address,
                     MonotonicTime deadline);

  struct Runner {
    std::size_t number;
    SocketAddress address;
    MonotonicTime deadline;
    AsyncFd socket;
  };
  struct Arrival {
    Runner runner;  // no part of the race any more
    // OK: connected. DeadlineExceeded: it had no answer by its deadline.
    absl::Status status;
  };
  // The next one that has its answer, or none by its deadline. None: `until` has come, or nothing
  // is under way. Cancelled: the coroutine was.
  Awaitable<absl::StatusOr<std::optional<Arrival>>> Next(MonotonicTime until);

  bool empty() const { return runners_.empty(); }
  // Those that still wait for an answer.
  std::vector<Runner> TakeRest();

 private:
  void OnEdge() override;
  std::optional<Arrival> TakeArrived(MonotonicTime now);
  Runner Take(std::list<Runner>::iterator at);

  Poller& poller_;
  std::list<Runner> runners_;
  Waiter* waiter_ = nullptr;  // on Next()'s frame
};

}  // namespace tombolo::net
