// SPDX-License-Identifier: Apache-2.0
#include "etcd/client.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::etcd {
namespace {

constexpr std::size_t kMaxIdle = 2;

}  // namespace

absl::StatusOr<RangeAnswer> Client::Range(const RangeRequest& range) {
  return Call(Request<RangeAnswer>{
      .path = kRangePath, .body = Encode(range), .repeatable = true, .decode = DecodeRange});
}

absl::StatusOr<TxnAnswer> Client::Commit(const Txn& txn) {
  return Call(Request<TxnAnswer>{
      .path = kTxnPath, .body = Encode(txn), .repeatable = false, .decode = DecodeTxn});
}

template <typename Answer>
absl::StatusOr<Answer> Client::Call(const Request<Answer>& request) {
  const MonotonicTime deadline = After(options_.call);
  std::vector<std::string> failures;
  // One more than there are members: the kept connections to the first may be old.
  for (std::size_t attempt = 0; attempt <= options_.endpoints.size(); ++attempt) {
    if (attempt > 0 && std::chrono::steady_clock::now() >= deadline) break;
    const std::size_t endpoint = current();
    absl::StatusOr<Answer> answer = Try(endpoint, request, deadline);
    if (answer.ok()) return answer;
    const absl::Status named = Annotate(answer.status(), options_.endpoints[endpoint].url);
    const bool failed = absl::IsUnavailable(named) || absl::IsUnknown(named);
    if (failed) Avoid(endpoint);
    // What one member refuses, the others refuse, too.
    if (!failed || (absl::IsUnknown(named) && !request.repeatable)) return named;
    failures.emplace_back(named.message());
  }
  return absl::UnavailableError(absl::StrJoin(failures, "; "));
}

template <typename Answer>
absl::StatusOr<Answer> Client::Try(std::size_t endpoint, const Request<Answer>& request,
                                   MonotonicTime deadline) {
  ASSIGN_OR_RETURN(Connection connection, Take(endpoint, deadline));
  const absl::StatusOr<net::HttpAnswer> answer =
      connection.http->Post(request.path, request.body, std::min(deadline, After(options_.answer)));
  if (!answer.ok()) {
    return request.repeatable ? answer.status() : absl::UnknownError(answer.status().message());
  }
  Keep(std::move(connection));
  if (answer->status != 200) return ErrorOf(answer->status, answer->body);
  absl::StatusOr<Answer> decoded = request.decode(answer->body);
  if (decoded.ok()) return decoded;
  return absl::UnknownError(decoded.status().message());
}

absl::StatusOr<Client::Connection> Client::Take(std::size_t endpoint, MonotonicTime deadline) {
  {
    const std::lock_guard lock(mutex_);
    while (current_ == endpoint && !idle_.empty()) {
      Connection connection = std::move(idle_.back());
      idle_.pop_back();
      if (connection.http->Usable()) return connection;
    }
  }
  absl::StatusOr<Connection> connection =
      Connect(endpoint, std::min(deadline, After(options_.connect)));
  if (connection.ok()) return connection;
  // Whatever it was: nothing has been asked yet.
  return absl::UnavailableError(connection.status().message());
}

absl::StatusOr<Client::Connection> Client::Connect(std::size_t endpoint, MonotonicTime deadline) {
  const Endpoint& to = options_.endpoints[endpoint];
  ASSIGN_OR_RETURN(std::unique_ptr<BlockingStream> stream, ConnectTcp(to.host, to.port, deadline));
  if (to.tls) {
    if (options_.tls == nullptr) return absl::InternalError("no TLS for https://");
    ASSIGN_OR_RETURN(stream, options_.tls->Connect(std::move(stream), to.host, deadline));
  }
  auto http = std::make_unique<net::HttpConnection>(std::move(stream), to.authority);
  RETURN_IF_ERROR(CheckCluster(*http, deadline));
  return Connection{.endpoint = endpoint, .http = std::move(http)};
}

// Before it is told anything: endpoints of two clusters would be two stores, and
// what was issued in one could be issued in the other.
absl::Status Client::CheckCluster(net::HttpConnection& http, MonotonicTime deadline) {
  const RangeRequest question{.key = "/", .count_only = true, .serializable = true};
  ASSIGN_OR_RETURN(const net::HttpAnswer answer, http.Post(kRangePath, Encode(question), deadline));
  if (answer.status != 200) return ErrorOf(answer.status, answer.body);
  ASSIGN_OR_RETURN(const RangeAnswer decoded, DecodeRange(answer.body));
  const std::lock_guard lock(mutex_);
  if (!cluster_) cluster_ = decoded.cluster;
  if (*cluster_ == decoded.cluster) return absl::OkStatus();
  return absl::FailedPreconditionError("belongs to another etcd cluster than the other endpoints");
}

void Client::Keep(Connection connection) {
  const std::lock_guard lock(mutex_);
  if (connection.endpoint == current_ && idle_.size() < kMaxIdle && connection.http->Usable()) {
    idle_.push_back(std::move(connection));
  }
}

std::size_t Client::current() {
  const std::lock_guard lock(mutex_);
  return current_;
}

void Client::Avoid(std::size_t endpoint) {
  const std::lock_guard lock(mutex_);
  if (endpoint != current_) return;  // somebody else has
  current_ = (current_ + 1) % options_.endpoints.size();
  idle_.clear();
}

}  // namespace tombolo::etcd
