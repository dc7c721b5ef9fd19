// SPDX-License-Identifier: Apache-2.0
#include "etcd/client.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "etcd/auth.h"
#include "etcd/lease_messages.h"

namespace tombolo::etcd {
namespace {

constexpr std::size_t kMaxIdle = 2;

absl::Status Closed() { return absl::CancelledError("the client was closed"); }

absl::StatusOr<std::string> AsItIs(absl::string_view body) { return std::string(body); }

}  // namespace

absl::StatusOr<RangeAnswer> Client::Range(const RangeRequest& range) {
  return Call(Request<RangeAnswer>{
      .path = kRangePath, .body = Encode(range), .repeatable = true, .decode = DecodeRange});
}

absl::StatusOr<TxnAnswer> Client::Commit(const Txn& txn) {
  return Call(Request<TxnAnswer>{
      .path = kTxnPath, .body = Encode(txn), .repeatable = false, .decode = DecodeTxn});
}

absl::StatusOr<std::int64_t> Client::GrantLease(Duration ttl) {
  return Call(Request<std::int64_t>{
      .path = kGrantPath, .body = EncodeGrant(ttl), .repeatable = false, .decode = DecodeGrant});
}

absl::StatusOr<Duration> Client::KeepAlive(std::int64_t lease) {
  return Call(Request<Duration>{.path = kKeepAlivePath,
                                .body = EncodeLease(lease),
                                .repeatable = true,
                                .decode = DecodeKeepAlive});
}

absl::Status Client::RevokeLease(std::int64_t lease) {
  const absl::Status status = Call(Request<std::string>{.path = kRevokePath,
                                                        .body = EncodeLease(lease),
                                                        .repeatable = true,
                                                        .decode = AsItIs})
                                  .status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status Client::Administer(const std::string& path, const std::string& body) {
  return Call(Request<std::string>{
                  .path = path, .body = body, .repeatable = false, .decode = AsItIs})
      .status();
}

absl::StatusOr<std::string> Client::Look(const std::string& path, const std::string& body) {
  return Call(
      Request<std::string>{.path = path, .body = body, .repeatable = true, .decode = AsItIs});
}

absl::StatusOr<std::unique_ptr<Watch>> Client::Open(const WatchRequest& request) {
  const MonotonicTime deadline = After(options_.call);
  const std::size_t endpoint = current();
  absl::StatusOr<Connection> connection = Connect(endpoint, deadline);
  if (!connection.ok()) {
    Avoid(endpoint);
    return Annotate(connection.status(), options_.endpoints[endpoint].url);
  }
  absl::StatusOr<std::unique_ptr<net::HttpLines>> lines = net::HttpLines::Begin(
      std::move(*connection->http),
      {.path = kWatchPath, .body = Encode(request), .authorization = token()}, deadline);
  if (lines.ok()) return std::make_unique<Watch>(*std::move(lines), endpoint);
  Avoid(endpoint);
  return Annotate(lines.status(), options_.endpoints[endpoint].url);
}

absl::Status Client::Probe(const Watch& watch, const std::string& key) {
  const Request<RangeAnswer> request{.path = kRangePath,
                                     .body = Encode(RangeRequest{.key = key, .count_only = true}),
                                     .repeatable = true,
                                     .decode = DecodeRange};
  const absl::Status status =
      Try(watch.endpoint(), request, After(options_.connect + options_.answer)).status();
  if (status.ok() || absl::IsCancelled(status)) return status;
  Avoid(watch.endpoint());
  return Annotate(status, UrlOf(watch));
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
  const absl::StatusOr<net::HttpAnswer> answer = AskAsUser(
      *connection.http, request.path, request.body, std::min(deadline, After(options_.answer)));
  if (!answer.ok()) {
    const bool sent =
        absl::IsUnknown(answer.status()) || absl::IsResourceExhausted(answer.status());
    if (request.repeatable || !sent) return answer.status();
    return absl::UnknownError(answer.status().message());
  }
  Keep(std::move(connection));
  if (answer->status != 200) return ErrorOf(answer->status, answer->body);
  absl::StatusOr<Answer> decoded = request.decode(answer->body);
  if (decoded.ok() || absl::IsNotFound(decoded.status())) return decoded;
  return absl::UnknownError(decoded.status().message());
}

// A token that is no longer one is replaced, once: what it was for has not been carried out.
absl::StatusOr<net::HttpAnswer> Client::AskAsUser(net::HttpConnection& http,
                                                  const std::string& path, const std::string& body,
                                                  MonotonicTime deadline) {
  const std::string used = token();
  absl::StatusOr<net::HttpAnswer> answer = Ask(http, path, body, used, deadline);
  if (!answer.ok()) {
    if (std::chrono::steady_clock::now() >= deadline) ForgetToken(used);
    return answer;
  }
  if (answer->status == 200 || !options_.user ||
      !absl::IsUnauthenticated(ErrorOf(answer->status, answer->body))) {
    return answer;
  }
  RETURN_IF_ERROR(Authenticate(http, used, deadline));
  return Ask(http, path, body, token(), deadline);
}

absl::StatusOr<net::HttpAnswer> Client::Ask(net::HttpConnection& http, const std::string& path,
                                            const std::string& body, const std::string& token,
                                            MonotonicTime deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return Closed();
    asked_.insert(&http);
  }
  absl::StatusOr<net::HttpAnswer> answer = http.Ask(
      {.path = path, .body = body, .authorization = token, .accept = options_.accept}, deadline);
  const std::lock_guard lock(mutex_);
  asked_.erase(&http);
  return answer;
}

absl::Status Client::Authenticate(net::HttpConnection& http, const std::string& stale,
                                  MonotonicTime deadline) {
  if (token() != stale) return absl::OkStatus();  // another thread was here
  const User& user = *options_.user;
  ASSIGN_OR_RETURN(const std::string password, user.password());
  const absl::StatusOr<net::HttpAnswer> answer =
      Ask(http, kAuthenticatePath, EncodeAuthenticate(user.name, password), "", deadline);
  // Nothing of what it was for has been asked.
  if (absl::IsCancelled(answer.status())) return answer.status();
  if (!answer.ok()) return absl::UnavailableError(answer.status().message());
  if (answer->status != 200) {
    const absl::Status error = ErrorOf(answer->status, answer->body);
    if (absl::IsUnavailable(error) || absl::IsUnknown(error)) {
      return absl::UnavailableError(error.message());
    }
    return absl::UnauthenticatedError(absl::StrCat("user '", user.name, "': ", error.message()));
  }
  ASSIGN_OR_RETURN(const Authentication got, DecodeAuthenticate(answer->body));
  RETURN_IF_ERROR(IsCluster(got.cluster));
  const std::lock_guard lock(mutex_);
  token_ = got.token;
  return absl::OkStatus();
}

// A token carries the place in etcd's log where it was issued, and etcd answers only once it has
// got there: after a restore from a backup perhaps never.
void Client::ForgetToken(const std::string& token) {
  const std::lock_guard lock(mutex_);
  if (token_ == token) token_.clear();
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
  return Connect(endpoint, deadline);
}

// Whatever fails: nothing has been asked yet.
absl::StatusOr<Client::Connection> Client::Connect(std::size_t endpoint, MonotonicTime deadline) {
  const auto connect = [&]() -> absl::StatusOr<Connection> {
    const Endpoint& to = options_.endpoints[endpoint];
    const MonotonicTime soon = std::min(deadline, After(options_.connect));
    ASSIGN_OR_RETURN(std::unique_ptr<BlockingStream> stream, ConnectTcp(to.host, to.port, soon));
    if (to.tls) {
      if (options_.tls == nullptr) return absl::InternalError("no TLS for https://");
      ASSIGN_OR_RETURN(stream, options_.tls->Connect(std::move(stream), to.host, soon));
    }
    auto http = std::make_unique<net::HttpConnection>(std::move(stream), to.authority);
    // A password is made slow to check.
    RETURN_IF_ERROR(
        CheckCluster(*http, options_.user ? std::min(deadline, After(options_.answer)) : soon));
    return Connection{.endpoint = endpoint, .http = std::move(http)};
  };
  absl::StatusOr<Connection> connection = connect();
  if (connection.ok() || absl::IsCancelled(connection.status()) ||
      absl::IsUnauthenticated(connection.status())) {
    return connection;
  }
  return absl::UnavailableError(connection.status().message());
}

// Before it is told anything: endpoints of two clusters would be two stores, and
// what was issued in one could be issued in the other.
absl::Status Client::CheckCluster(net::HttpConnection& http, MonotonicTime deadline) {
  if (options_.user && token().empty()) return Authenticate(http, "", deadline);
  const RangeRequest question{.key = options_.known_key, .count_only = true, .serializable = true};
  ASSIGN_OR_RETURN(const net::HttpAnswer answer,
                   AskAsUser(http, kRangePath, Encode(question), deadline));
  if (answer.status != 200) {
    const absl::Status error = ErrorOf(answer.status, answer.body);
    // The others would say the same.
    if (absl::IsPermissionDenied(error)) return absl::UnauthenticatedError(error.message());
    return error;
  }
  ASSIGN_OR_RETURN(const RangeAnswer decoded, DecodeRange(answer.body));
  return IsCluster(decoded.cluster);
}

absl::Status Client::IsCluster(std::uint64_t cluster) {
  const std::lock_guard lock(mutex_);
  if (!cluster_) cluster_ = cluster;
  if (*cluster_ == cluster) return absl::OkStatus();
  return absl::FailedPreconditionError("belongs to another etcd cluster than the other endpoints");
}

void Client::ForgetCluster() {
  const std::lock_guard lock(mutex_);
  cluster_.reset();
  idle_.clear();
}

void Client::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (net::HttpConnection* http : asked_) http->Abort();
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

std::string Client::token() {
  const std::lock_guard lock(mutex_);
  return token_;
}

void Client::Avoid(std::size_t endpoint) {
  const std::lock_guard lock(mutex_);
  if (endpoint != current_) return;  // somebody else has
  current_ = (current_ + 1) % options_.endpoints.size();
  idle_.clear();
}

}  // namespace tombolo::etcd
