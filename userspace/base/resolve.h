// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"

namespace tombolo {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// The TCP addresses of a name or a numeric address, in the system's order, at
// least one. Blocks until the deadline at most; a lookup that is then still under
// way ends by itself, in a thread of its own. Unavailable (try again),
// InvalidArgument (no such host), DeadlineExceeded.
absl::StatusOr<std::vector<SocketAddress>> Resolve(const std::string& host, std::uint16_t port,
                                                   MonotonicTime deadline);

}  // namespace tombolo
