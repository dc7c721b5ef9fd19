// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "net/address.h"
#include "server/counters.h"
#include "server/handlers.h"
#include "server/io_thread.h"
#include "server/limits.h"
#include "server/server_state.h"
#include "tls/https.h"

namespace tombolo::ca {

// The authority's HTTPS server (docs/authority.md, "How it is asked"), with threads of its own.
// What it answers comes from its handlers. Any thread may call it, but none of its own, nor a
// handler.
class HttpsServer {
 public:
  struct Options {
    std::vector<net::SocketAddress> listen;  // port 0: any free one
    int threads = 2;
    ServerLimits limits{};
  };

  // `context` is one ForServer(). It serves when this returns.
  static absl::StatusOr<std::unique_ptr<HttpsServer>> Start(
      const Options& options, std::shared_ptr<const tls::HttpsContext> context, Handlers handlers);
  // Stops at once if it still runs.
  ~HttpsServer();
  HttpsServer(const HttpsServer&) = delete;
  HttpsServer& operator=(const HttpsServer&) = delete;

  // For the handshakes from now on. Clients that are connected are judged by it, too, with their
  // next request.
  void SetContext(std::shared_ptr<const tls::HttpsContext> context);

  // handlers.published() has something new to say to those who wait for it.
  void Changed();

  // Accepts nothing more, answers what is held, lets what is under way finish for at most
  // `patience` and ends the rest. Once. An enrolment that the handler has not answered by then has
  // no effect on anybody here any more.
  void Stop(Duration patience);

  const std::vector<net::SocketAddress>& addresses() const { return addresses_; }
  const ServerCounters& counters() const { return state_->counters; }

 private:
  explicit HttpsServer(std::shared_ptr<https::ServerState> state) : state_(std::move(state)) {}

  const std::shared_ptr<https::ServerState> state_;
  std::vector<net::SocketAddress> addresses_;
  std::vector<std::unique_ptr<https::IoThread>> threads_;
};

}  // namespace tombolo::ca
