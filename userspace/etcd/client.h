// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"
#include "etcd/endpoint.h"
#include "etcd/messages.h"
#include "etcd/watch.h"
#include "net/http_connection.h"
#include "tls/client_context.h"

namespace tombolo::etcd {

// Requests to whichever member of an etcd cluster answers. Keeps to one member and
// the connections to it (two of them while nobody uses them), and goes on to the next
// one when it fails. Any thread may call. Destroy it when no call is under way.
//
// Errors name the endpoint. Beside those of ErrorOf(): Cancelled after Close().
class Client {
 public:
  // Whom etcd is to take this for. Its JSON gateway knows nobody by certificate.
  struct User {
    std::string name;
    // Asked each time that a token is needed: etcd's tokens expire, and die with their member.
    std::function<absl::StatusOr<std::string>()> password;
  };
  struct Options {
    std::vector<Endpoint> endpoints;                  // at least one
    std::shared_ptr<const tls::ClientContext> tls{};  // when one of them has it
    std::optional<User> user{};
    // What the user may read, if there is such a key or not: a new connection is asked
    // for it, because every answer tells which cluster it comes from.
    std::string known_key = "/";
    // By a request's Accept header etcd tells that it has come through the gateway. Without one
    // it takes the caller for the user whom the member's own certificate names:
    // false is for finding that out.
    bool accept = true;
    Duration connect = std::chrono::seconds(1);  // to one member, until it can be asked
    Duration answer = std::chrono::seconds(3);   // of one member: outlasts an election
    Duration call = std::chrono::seconds(6);     // all of it
  };
  explicit Client(Options options) : options_(std::move(options)) {}

  // Unavailable: no member answers; never Unknown.
  absl::StatusOr<RangeAnswer> Range(const RangeRequest& range);

  // Sends it to one member only. Unavailable: nobody has carried it out. Unknown: it
  // may have been, or may yet be.
  absl::StatusOr<TxnAnswer> Commit(const Txn& txn);

  // A lease that ends when `ttl` (at least a second) passes without KeepAlive(). Unknown: there
  // may be one that nobody knows, which ends by itself.
  absl::StatusOr<std::int64_t> GrantLease(Duration ttl);
  // What it has from now on. NotFound: it has ended.
  absl::StatusOr<Duration> KeepAlive(std::int64_t lease);
  // Ends it and deletes its keys. OK, too, when it has ended before.
  absl::Status RevokeLease(std::int64_t lease);

  // A request of etcd's authentication API (see auth.h), with its own answer. Sent to one
  // member only, as Commit().
  absl::Status Administer(const std::string& path, const std::string& body);
  // Of one that only reads.
  absl::StatusOr<std::string> Look(const std::string& path, const std::string& body);

  // Watches at the current member, on a connection of its own.
  absl::StatusOr<std::unique_ptr<Watch>> Open(const WatchRequest& request);
  // Whether that member still answers for a majority. An error other than Cancelled makes
  // another one the current one.
  absl::Status Probe(const Watch& watch, const std::string& key);
  // Makes another member the current one, if that is `watch`'s.
  void Leave(const Watch& watch) { Avoid(watch.endpoint()); }

  // Takes the next cluster that answers for the right one, for those who can go on with a cluster
  // that was restored from a backup under another ID.
  void ForgetCluster();

  // Calls that are under way, and all later ones, fail. One that just connects takes until
  // Options::connect.
  void Close();

  std::size_t members() const { return options_.endpoints.size(); }
  const std::string& UrlOf(const Watch& watch) const {
    return options_.endpoints[watch.endpoint()].url;
  }

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
  absl::Status IsCluster(std::uint64_t cluster);
  absl::Status Authenticate(net::HttpConnection& http, const std::string& stale,
                            MonotonicTime deadline);
  void ForgetToken(const std::string& token);
  absl::StatusOr<net::HttpAnswer> Ask(net::HttpConnection& http, const std::string& path,
                                      const std::string& body, const std::string& token,
                                      MonotonicTime deadline);
  absl::StatusOr<net::HttpAnswer> AskAsUser(net::HttpConnection& http, const std::string& path,
                                            const std::string& body, MonotonicTime deadline);
  template <typename Answer>
  absl::StatusOr<Answer> Try(std::size_t endpoint, const Request<Answer>& request,
                             MonotonicTime deadline);
  template <typename Answer>
  absl::StatusOr<Answer> Call(const Request<Answer>& request);
  void Keep(Connection connection);
  std::size_t current();
  std::string token();
  void Avoid(std::size_t endpoint);

  const Options options_;
  std::mutex mutex_;
  bool closed_ = false;                   // guarded by mutex_, as what follows
  std::size_t current_ = 0;               //
  std::vector<Connection> idle_;          // to the current one
  std::optional<std::uint64_t> cluster_;  // of the first member that was reached
  std::string token_;                     // of the user; "": none
  std::set<net::HttpConnection*> asked_;  // that somebody waits for just now
};

}  // namespace tombolo::etcd
