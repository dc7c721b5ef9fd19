// SPDX-License-Identifier: Apache-2.0
#include "net/resolve.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <netdb.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/status_macros.h"

namespace tombolo::net {
namespace {

constexpr std::size_t kMaxAddresses = 16;  // of one name

std::atomic<int> lookups{0};

// What the thread of a lookup and its coroutine share; the last one to need it frees it.
struct Lookup {
  Lookup() { ++lookups; }
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;
  ~Lookup() { --lookups; }

  std::string host;
  Fd done;  // an eventfd
  std::mutex mutex;
  int error = 0;  // getaddrinfo()'s
  int system_error = 0;
  std::vector<SocketAddress> found;
};

std::vector<SocketAddress> Copy(const addrinfo* list) {
  std::vector<SocketAddress> found;
  for (; list != nullptr && found.size() < kMaxAddresses; list = list->ai_next) {
    if (list->ai_family != AF_INET && list->ai_family != AF_INET6) continue;
    sockaddr_storage storage{};
    std::copy_n(reinterpret_cast<const char*>(list->ai_addr), list->ai_addrlen,
                reinterpret_cast<char*>(&storage));
    found.push_back(SocketAddress::FromSockaddr(storage));
  }
  return found;
}

void Look(const std::shared_ptr<Lookup>& lookup) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(lookup->host.c_str(), nullptr, &hints, &list);
  const int system_error = errno;
  std::vector<SocketAddress> found = Copy(list);
  if (list != nullptr) freeaddrinfo(list);
  {
    const std::lock_guard<std::mutex> lock(lookup->mutex);
    lookup->error = error;
    lookup->system_error = system_error;
    lookup->found = std::move(found);
  }
  (void)eventfd_write(lookup->done.get(), 1);
}

absl::StatusOr<std::shared_ptr<Lookup>> Start(std::string host) {
  auto lookup = std::make_shared<Lookup>();
  if (lookups > kMaxLookups) {
    return absl::UnavailableError("the resolver has not answered earlier lookups yet");
  }
  lookup->host = std::move(host);
  lookup->done = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!lookup->done.valid()) return ErrnoStatus(errno, "eventfd");
  try {
    std::thread(Look, lookup).detach();
  } catch (const std::system_error& error) {
    return ErrnoStatus(error.code().value(), "start a thread for the resolver");
  }
  return lookup;
}

// OK when `done` can be read.
Awaitable<absl::Status> Wait(int done, MonotonicTime deadline) {
  const auto executor = co_await asio::this_coro::executor;
  const int copy = fcntl(done, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) co_return ErrnoStatus(errno, "duplicate an eventfd");
  // Shared with the timer's handler, which may be queued already when this is over.
  const auto ready = std::make_shared<asio::posix::stream_descriptor>(executor, copy);
  asio::steady_timer timer(executor, deadline);
  timer.async_wait([ready](const boost::system::error_code& error) {
    boost::system::error_code ignored;
    if (!error) ready->cancel(ignored);
  });
  const auto [error] =
      co_await ready->async_wait(asio::posix::stream_descriptor::wait_read, kUseTuple);
  if (error) co_return absl::DeadlineExceededError("the resolver did not answer in time");
  co_return absl::OkStatus();
}

absl::StatusOr<std::vector<SocketAddress>> Result(Lookup& lookup) {
  const std::lock_guard<std::mutex> lock(lookup.mutex);
  if (lookup.error == EAI_SYSTEM) return ErrnoStatus(lookup.system_error, "look up");
  if (lookup.error == EAI_NONAME) return absl::NotFoundError("nobody has this name");
  if (lookup.error != 0) return absl::UnavailableError(gai_strerror(lookup.error));
  if (lookup.found.empty()) return absl::NotFoundError("the name has no address");
  return std::move(lookup.found);
}

Awaitable<absl::StatusOr<std::vector<SocketAddress>>> LookUp(std::string host,
                                                             MonotonicTime deadline) {
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Lookup> lookup, Start(std::move(host)));
  CO_RETURN_IF_ERROR(co_await Wait(lookup->done.get(), deadline));
  co_return Result(*lookup);
}

}  // namespace

Awaitable<absl::StatusOr<std::vector<SocketAddress>>> Resolve(std::string host, std::uint16_t port,
                                                              MonotonicTime deadline) {
  std::vector<SocketAddress> addresses;
  if (const auto literal = IpAddress::Parse(host); literal.ok()) {
    addresses.push_back({*literal, port});
    co_return addresses;
  }
  absl::StatusOr<std::vector<SocketAddress>> found = co_await LookUp(host, deadline);
  if (!found.ok()) co_return Annotate(found.status(), absl::StrCat("look up '", host, "'"));
  for (SocketAddress& address : *found) address.port = port;
  co_return found;
}

}  // namespace tombolo::net
