// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "latency_histogram.h"
#include "net/address.h"

namespace tombolo::bench {

enum class ClientMode {
  kUpload,    // of a sink: bytes count once the sink has said that it read them
  kDownload,  // of a source, to its end
  kRequests,  // of an echo: request and response on a connection that stays open
  kConnects,  // of an echo: connect, one request and response, close
};

struct ClientOptions {
  ClientMode mode = ClientMode::kUpload;
  net::SocketAddress server;
  int connections = 1;  // one thread each
  std::chrono::nanoseconds duration = std::chrono::seconds(2);
  // Upload and download end after so many bytes on each connection instead of
  // after `duration`; 0: they do not.
  std::uint64_t bytes = 0;
  std::size_t size = 64;                       // of a request, and of its response
  std::size_t chunk = std::size_t{128} << 10;  // of a bulk write or read
  std::string preamble;                        // what every connection begins with
  // Called once, when every connection is there; the clock starts when it returns.
  std::function<void()> prepared;
};

struct ClientResult {
  std::uint64_t bytes = 0;             // upload and download
  std::chrono::nanoseconds elapsed{};  // of the slowest connection
  LatencyHistogram latency;            // requests and connects: one sample each
};

// Connects, runs, and waits for the end. The clock starts when every
// connection is there (and, for requests, has had one answer). One failure of
// one connection fails the whole run: a rate beside lost requests is no rate.
absl::StatusOr<ClientResult> RunClient(const ClientOptions& options);

}  // namespace tombolo::bench
