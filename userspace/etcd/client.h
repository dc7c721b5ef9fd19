// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"
#include "etcd/endpoint.h"
#include "etcd/messages.h"
#include "net/http_connection.h"
#include "tls/client_context.h"

namespace tombolo::etcd {

// Requests to whichever member of an etcd cluster answers. Keeps to one member and the connections
// to it (two of them while nobody uses them), and goes on to the next one when it fails. Any thread
// may call.
class Client {
 public:
  struct Options {
    std::vector<Endpoint> endpoints;                // at least one
    std::shared_ptr<const tls::ClientContext> tls;  // when one of them has it
    Duration connect = std::chrono::seconds(1);     // to one member, until it can be asked
    Duration answer = std::chrono::seconds(3);      // of one member: outlasts an election
    Duration call = std::chrono::seconds(6);        // all of it
  };
  explicit Client(Options options) : options_(std::move(options)) {}

  // Unavailable: no member answers; and the other codes of ErrorOf(), but never
  // Unknown. Errors name the endpoint.
  absl::StatusOr<RangeAnswer> Range(const RangeRequest& range);

  // Sends it to one member only. Unavailable: nobody has carried it out. Unknown: it
  // may have been, or may yet be.
  absl::StatusOr<TxnAnswer> Commit(const Txn& txn);

 private:
  template <typename Answer>
  struct Request {
    std::string path, body;
    bool repeatable;  // also when it may have been carried out already
    absl::StatusOr<Answer> (*decode)(absl::string_view body);
  };
  struct Connection {
    std::size_t endpoint;
    std::unique_ptr<net::HttpConnection> http;
  };

  absl::StatusOr<Connection> Take(std::size_t endpoint, MonotonicTime deadline);
  absl::StatusOr<Connection> Connect(std::size_t endpoint, MonotonicTime deadline);
  absl::Status CheckCluster(net::HttpConnection& http, MonotonicTime deadline);
  template <typename Answer>
  absl::StatusOr<Answer> Try(std::size_t endpoint, const Request<Answer>& request,
                             MonotonicTime deadline);
  template <typename Answer>
  absl::StatusOr<Answer> Call(const Request<Answer>& request);
  void Keep(Connection connection);
  std::size_t current();
  void Avoid(std::size_t endpoint);

  const Options options_;
  std::mutex mutex_;
  std::size_t current_ = 0;               // guarded by mutex_, as what follows
  std::vector<Connection> idle_;          // to the current one
  std::optional<std::uint64_t> cluster_;  // of the first member that was reached
};

}  // namespace tombolo::etcd
