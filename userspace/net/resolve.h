// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/time.h"
#include "net/address.h"

namespace tombolo::net {

inline constexpr int kMaxLookups = 4;  // at a time, in this process

// The addresses of `host`, an address or a name that the system's resolver knows, at least one.
// That resolver blocks, so each lookup has a thread; one that misses the deadline
// (DeadlineExceeded) ends by itself, and counts until then. Unavailable: the name could not be
// looked up now; NotFound: nobody has it. For an io_context with a reactor, so not for data
// threads.
Awaitable<absl::StatusOr<std::vector<SocketAddress>>> Resolve(std::string host, std::uint16_t port,
                                                              MonotonicTime deadline);

}  // namespace tombolo::net
