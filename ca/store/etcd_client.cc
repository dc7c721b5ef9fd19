// SPDX-License-Identifier: Apache-2.0
#include "store/etcd_client.h"

#include <algorithm>
#include <utility>

#include <boost/asio/ip/address.hpp>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

constexpr std::uint16_t kDefaultPort = 2379;
constexpr std::size_t kMaxIdle = 2;

absl::Status BadUrl(const std::string& url, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("etcd endpoint '", url, "': ", why));
}

bool IsLoopback(const std::string& host) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  return host == "localhost" || (!error && address.is_loopback());
}

bool IsHostCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' ||
         c == ':';
}

}  // namespace

absl::StatusOr<EtcdEndpoint> ParseEndpoint(const std::string& url) {
  EtcdEndpoint endpoint{.url = url, .port = kDefaultPort};
  absl::string_view rest = url;
  endpoint.tls = absl::ConsumePrefix(&rest, "https://");
  if (!endpoint.tls && !absl::ConsumePrefix(&rest, "http://")) {
    return BadUrl(url, "begins neither with https:// nor with http://");
  }
  absl::ConsumeSuffix(&rest, "/");
  const std::size_t colon = rest.rfind(':');
  if (colon != rest.npos && (rest[0] != '[' || rest[colon - 1] == ']')) {
    int port = 0;
    if (!absl::SimpleAtoi(rest.substr(colon + 1), &port) || port < 1 || port > 65535) {
      return BadUrl(url, "has a bad port");
    }
    endpoint.port = static_cast<std::uint16_t>(port);
    rest = rest.substr(0, colon);
  }
  const bool bracketed = absl::ConsumePrefix(&rest, "[") && absl::ConsumeSuffix(&rest, "]");
  endpoint.host = std::string(rest);
  if (rest.empty() || rest.size() > 253 ||
      !std::all_of(rest.begin(), rest.end(), IsHostCharacter) ||
      (!bracketed && absl::StrContains(rest, ':'))) {
    return BadUrl(url, "has a bad host");
  }
  endpoint.authority =
      absl::StrCat(bracketed ? "[" : "", rest, bracketed ? "]:" : ":", endpoint.port);
  if (!endpoint.tls && !IsLoopback(endpoint.host)) {
    return BadUrl(url, "anybody on the way could write there: use https://");
  }
  return endpoint;
}

absl::StatusOr<EtcdRangeAnswer> EtcdClient::Range(const EtcdRange& range) {
  return Call(Request<EtcdRangeAnswer>{
      .path = kRangePath, .body = Encode(range), .repeatable = true, .decode = DecodeRange});
}

absl::StatusOr<EtcdTxnAnswer> EtcdClient::Commit(const Transaction& transaction,
                                                 absl::string_view prefix) {
  return Call(Request<EtcdTxnAnswer>{.path = kTxnPath,
                                     .body = Encode(transaction, prefix),
                                     .repeatable = false,
                                     .decode = DecodeTxn});
}

template <typename Answer>
absl::StatusOr<Answer> EtcdClient::Call(const Request<Answer>& request) {
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
absl::StatusOr<Answer> EtcdClient::Try(std::size_t endpoint, const Request<Answer>& request,
                                       MonotonicTime deadline) {
  ASSIGN_OR_RETURN(Connection connection, Take(endpoint, deadline));
  const absl::StatusOr<HttpAnswer> answer =
      connection.http->Post(request.path, request.body, std::min(deadline, After(options_.answer)));
  if (!answer.ok()) {
    return request.repeatable ? answer.status() : absl::UnknownError(answer.status().message());
  }
  Keep(std::move(connection));
  if (answer->status != 200) return EtcdError(answer->status, answer->body);
  absl::StatusOr<Answer> decoded = request.decode(answer->body);
  if (decoded.ok()) return decoded;
  return absl::UnknownError(decoded.status().message());
}

absl::StatusOr<EtcdClient::Connection> EtcdClient::Take(std::size_t endpoint,
                                                        MonotonicTime deadline) {
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

absl::StatusOr<EtcdClient::Connection> EtcdClient::Connect(std::size_t endpoint,
                                                           MonotonicTime deadline) {
  const EtcdEndpoint& to = options_.endpoints[endpoint];
  ASSIGN_OR_RETURN(std::unique_ptr<BlockingStream> stream, ConnectTcp(to.host, to.port, deadline));
  if (to.tls) {
    if (options_.tls == nullptr) return absl::InternalError("no TLS for https://");
    ASSIGN_OR_RETURN(stream, options_.tls->Connect(std::move(stream), to.host, deadline));
  }
  auto http = std::make_unique<HttpConnection>(std::move(stream), to.authority);
  RETURN_IF_ERROR(CheckCluster(*http, deadline));
  return Connection{.endpoint = endpoint, .http = std::move(http)};
}

// Before it is told anything: endpoints of two clusters would be two stores, and
// what was issued in one could be issued in the other.
absl::Status EtcdClient::CheckCluster(HttpConnection& http, MonotonicTime deadline) {
  const EtcdRange question{.key = "/", .count_only = true, .serializable = true};
  ASSIGN_OR_RETURN(const HttpAnswer answer, http.Post(kRangePath, Encode(question), deadline));
  if (answer.status != 200) return EtcdError(answer.status, answer.body);
  ASSIGN_OR_RETURN(const EtcdRangeAnswer decoded, DecodeRange(answer.body));
  const std::lock_guard lock(mutex_);
  if (!cluster_) cluster_ = decoded.cluster;
  if (*cluster_ == decoded.cluster) return absl::OkStatus();
  return absl::FailedPreconditionError("belongs to another etcd cluster than the other endpoints");
}

void EtcdClient::Keep(Connection connection) {
  const std::lock_guard lock(mutex_);
  if (connection.endpoint == current_ && idle_.size() < kMaxIdle && connection.http->Usable()) {
    idle_.push_back(std::move(connection));
  }
}

std::size_t EtcdClient::current() {
  const std::lock_guard lock(mutex_);
  return current_;
}

void EtcdClient::Avoid(std::size_t endpoint) {
  const std::lock_guard lock(mutex_);
  if (endpoint != current_) return;  // somebody else has
  current_ = (current_ + 1) % options_.endpoints.size();
  idle_.clear();
}

}  // namespace tombolo::ca
