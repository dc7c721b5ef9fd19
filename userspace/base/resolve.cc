// SPDX-License-Identifier: Apache-2.0
#include "base/resolve.h"

#include <atomic>
#include <cstring>
#include <future>
#include <memory>
#include <system_error>
#include <thread>

#include <netdb.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace tombolo {
namespace {

using Addresses = std::vector<SocketAddress>;

constexpr int kMaxLookups = 16;  // that are under way in the whole process
std::atomic<int> lookups = 0;

absl::Status LookupError(int error, const std::string& host) {
  const std::string what = absl::StrCat("find '", host, "': ", gai_strerror(error));
  const bool unknown = error == EAI_NONAME || error == EAI_NODATA || error == EAI_FAMILY;
  return unknown ? absl::InvalidArgumentError(what) : absl::UnavailableError(what);
}

absl::StatusOr<Addresses> Lookup(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), absl::StrCat(port).c_str(), &hints, &found);
  if (error != 0) return LookupError(error, host);
  const absl::Cleanup free = [found] { freeaddrinfo(found); };
  Addresses addresses;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    SocketAddress address{.size = info->ai_addrlen};
    std::memcpy(&address.storage, info->ai_addr, info->ai_addrlen);
    addresses.push_back(address);
  }
  return addresses;
}

}  // namespace

absl::StatusOr<Addresses> Resolve(const std::string& host, std::uint16_t port,
                                  MonotonicTime deadline) {
  absl::StatusOr<Addresses> numeric = Lookup(host, port, AI_NUMERICHOST);
  if (numeric.ok()) return numeric;
  if (lookups.fetch_add(1) >= kMaxLookups) {
    --lookups;
    return absl::UnavailableError(
        absl::StrCat("find '", host, "': ", kMaxLookups, " lookups wait for the resolver already"));
  }
  // Nothing can interrupt getaddrinfo(), so nobody waits for it but this thread,
  // which owns everything that it uses.
  auto promise = std::make_shared<std::promise<absl::StatusOr<Addresses>>>();
  std::future<absl::StatusOr<Addresses>> found = promise->get_future();
  try {
    std::thread([promise, host, port] {
      promise->set_value(Lookup(host, port, AI_ADDRCONFIG));
      --lookups;
    }).detach();
  } catch (const std::system_error& error) {
    --lookups;
    return absl::UnavailableError(absl::StrCat("start a lookup: ", error.what()));
  }
  if (found.wait_until(deadline) == std::future_status::ready) return found.get();
  return absl::DeadlineExceededError(
      absl::StrCat("find '", host, "': the resolver takes too long"));
}

}  // namespace tombolo
