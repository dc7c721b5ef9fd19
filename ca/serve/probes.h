// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "absl/status/statusor.h"
#include "admin/http_listener.h"
#include "net/address.h"

namespace tombolo::ca {

// What probes and scrapers ask, as an agent answers it: /metrics, /healthz, /readyz. Both functions
// are called on the listener's thread and must not block.
struct ProbeSources {
  std::function<std::vector<std::string>()> not_ready;  // why; empty when it is
  std::function<std::string()> metrics;
};
absl::StatusOr<std::unique_ptr<admin::HttpListener>> ListenForProbes(
    const boost::asio::any_io_executor& executor, const net::SocketAddress& address,
    ProbeSources sources);

}  // namespace tombolo::ca
