// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace tombolo::etcd {

// Where a member of an etcd cluster answers clients. A plain value.
struct Endpoint {
  std::string url{};        // as configured: what errors show
  std::string authority{};  // host and port
  std::string host{};       // without the brackets of an IPv6 address
  std::uint16_t port = 0;
  bool tls = false;
};

// "https://host[:port]" or, for loopback addresses only, "http://"; the port is 2379
// unless given. InvalidArgument.
absl::StatusOr<Endpoint> ParseEndpoint(const std::string& url);

}  // namespace tombolo::etcd
