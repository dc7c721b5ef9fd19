// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/json/value.hpp>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "admin/http_listener.h"
#include "admin/unix_socket.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/task_group.h"
#include "base/time.h"
#include "net/address.h"

namespace tombolo::admin {

// What a request asks for: /v1/explain?workload=east/curl&to=shop/web:80. Values are taken as they
// are, without escapes: names, addresses and ports need none.
using Query = std::map<std::string, std::string>;
// InvalidArgument: not key=value&key=value, a key twice, or an escape.
absl::StatusOr<Query> ParseQuery(absl::string_view text);

// Where the answers come from. Everything is called on the server's thread.
struct Providers {
  // GET /v1/<noun>. A provider may collect from other threads; it must end when
  // it is cancelled, which happens in Stop() only.
  std::map<std::string, std::function<Awaitable<boost::json::value>()>> nouns;
  // GET /v1/<question>?<query>, likewise. InvalidArgument is answered with 400, NotFound with
  // 404, others with 500.
  std::map<std::string, std::function<Awaitable<absl::StatusOr<boost::json::value>>(Query)>>
      questions;
  // Why the agent is not ready, one reason each; empty when it is.
  std::function<std::vector<std::string>()> not_ready;
  // The whole text of /metrics.
  std::function<std::string()> metrics;
};

// The agent's own API: JSON over a Unix socket, and metrics, health and
// readiness over TCP (docs/admin-api.md). Owns both sockets, and removes the
// Unix one's file. Runs on `executor`'s one thread, never a data-plane thread.
// Stop() before destroying.
class Server {
 public:
  struct Options {
    std::string socket_path;
    std::optional<net::SocketAddress> listen;  // absent: no TCP
    HttpLimits limits;                         // for each of the two sockets
    // A noun that is not there by then is answered with 504; the next requests
    // for it with 503 until the provider has come back.
    Duration provider_deadline = std::chrono::seconds(5);
  };

  static absl::StatusOr<std::unique_ptr<Server>> Start(const asio::any_io_executor& executor,
                                                       Options options, Providers providers);
  Awaitable<void> Stop();

  // Where it listens: the port is the real one when Options named port 0.
  std::optional<net::SocketAddress> tcp_address() const { return tcp_address_; }

 private:
  struct Call;

  Server(const asio::any_io_executor& executor, Options options, Providers providers);
  absl::StatusOr<Fd> BindTcp();
  absl::Status StartListeners(Fd tcp);
  bool Has(const std::string& noun) const;
  std::string Known() const;
  Awaitable<HttpResponse> AnswerNoun(std::string path, std::string query);
  Awaitable<HttpResponse> AnswerProbe(std::string path);
  Awaitable<void> Run(std::shared_ptr<Call> call);

  asio::any_io_executor executor_;
  Options options_;
  Providers providers_;
  std::optional<net::SocketAddress> tcp_address_;
  std::optional<UnixListener> unix_file_;
  absl::flat_hash_map<std::string, int> overdue_;  // calls that missed their deadline, by noun
  TaskGroup calls_;
  std::unique_ptr<HttpListener> unix_;
  std::unique_ptr<HttpListener> tcp_;
};

}  // namespace tombolo::admin
