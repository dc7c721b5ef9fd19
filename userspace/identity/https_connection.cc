// SPDX-License-Identifier: Apache-2.0
#include "identity/https_connection.h"

#include <cstring>
#include <utility>
#include <vector>

#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/tcp_segment.h"
#include "net/resolve.h"

namespace tombolo::identity {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Message = http::request<http::string_body>;
using Parser = http::response_parser<http::string_body>;

constexpr std::uint32_t kMaxHeader = 16 * 1024;
constexpr char kAgent[] = "tombolo-agent";

tcp::endpoint ToEndpoint(const net::SocketAddress& address) {
  sockaddr_storage storage;
  const socklen_t size = address.ToSockaddr(storage);
  tcp::endpoint endpoint;
  endpoint.resize(size);
  std::memcpy(endpoint.data(), &storage, size);
  return endpoint;
}

Message ToMessage(const net::HttpsUrl& url, HttpRequest request) {
  Message message(request.body ? http::verb::post : http::verb::get, request.target, 11);
  message.set(http::field::host, url.authority());
  message.set(http::field::user_agent, kAgent);
  for (const auto& [name, value] : request.headers) message.set(name, value);
  if (request.body) message.body() = *std::move(request.body);
  message.prepare_payload();
  return message;
}

std::string Header(const Parser& parser, http::field field) {
  const auto value = parser.get()[field];
  return std::string(value.data(), value.size());
}

HttpAnswer ToAnswer(Parser& parser) {
  return {.status = parser.get().result_int(),
          .content_type = Header(parser, http::field::content_type),
          .retry_after = Header(parser, http::field::retry_after),
          .body = std::move(parser.get().body())};
}

}  // namespace

struct HttpsConnection::Tls {
  Tls(const asio::any_io_executor& executor, const tls::HttpsContext& context)
      : stream(executor, context.context()) {}

  beast::tcp_stream& tcp() { return stream.next_layer(); }
  absl::Status StatusOf(const error_code& error, absl::string_view what);

  asio::ssl::stream<beast::tcp_stream> stream;
  beast::flat_buffer buffer;
};

absl::Status HttpsConnection::Tls::StatusOf(const error_code& error, absl::string_view what) {
  if (error == beast::error::timeout) {
    return absl::DeadlineExceededError(absl::StrCat(what, ": timed out"));
  }
  if (error == http::error::body_limit || error == http::error::header_limit) {
    return absl::ResourceExhaustedError(absl::StrCat(what, ": the answer is too large"));
  }
  return Annotate(tls::HttpsError(stream.native_handle(), error), what);
}

HttpsConnection::HttpsConnection(const asio::any_io_executor& executor, net::HttpsUrl url,
                                 HttpsContextPtr context)
    : executor_(executor), url_(std::move(url)), context_(std::move(context)) {}

HttpsConnection::~HttpsConnection() = default;

void HttpsConnection::Close() {
  closed_ = true;
  open_ = false;
  if (tls_ != nullptr) tls_->tcp().close();
}

Awaitable<absl::Status> HttpsConnection::Open(MonotonicTime deadline) {
  CO_ASSIGN_OR_RETURN(const std::vector<net::SocketAddress> addresses,
                      co_await net::Resolve(url_.host, url_.port, deadline));
  absl::Status status = absl::DeadlineExceededError("connect: timed out");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const MonotonicTime now = std::chrono::steady_clock::now();
    if (closed_) co_return absl::CancelledError("closed");
    if (now >= deadline) break;
    const Duration share = (deadline - now) / static_cast<int>(addresses.size() - i);
    status = co_await OpenOne(addresses[i], now + share);
    if (status.ok()) break;
  }
  co_return status;
}

Awaitable<absl::Status> HttpsConnection::OpenOne(net::SocketAddress address,
                                                 MonotonicTime deadline) {
  tls_ = std::make_unique<Tls>(executor_, *context_);
  tls_->tcp().expires_at(deadline);
  const tcp::endpoint endpoint = ToEndpoint(address);
  error_code ignored;
  tls_->tcp().socket().open(endpoint.protocol(), ignored);  // or async_connect() says why not
  LimitSegments(tls_->tcp().socket().native_handle());
  const auto [refused] = co_await tls_->tcp().async_connect(endpoint, kUseTuple);
  if (refused) co_return tls_->StatusOf(refused, absl::StrCat("connect to ", address.ToString()));
  tls_->tcp().socket().set_option(tcp::no_delay(true), ignored);
  CO_RETURN_IF_ERROR(tls::SetServerName(tls_->stream.native_handle(), url_.host));
  const auto [failed] =
      co_await tls_->stream.async_handshake(asio::ssl::stream_base::client, kUseTuple);
  if (failed) co_return tls_->StatusOf(failed, absl::StrCat("TLS with ", address.ToString()));
  open_ = !closed_;
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<HttpAnswer>> HttpsConnection::Exchange(HttpRequest request,
                                                                MonotonicTime deadline) {
  if (!open_) co_return absl::UnavailableError("the connection has ended");
  open_ = false;
  Parser parser;
  parser.header_limit(kMaxHeader);
  parser.body_limit(request.max_answer);
  const Message message = ToMessage(url_, std::move(request));
  tls_->tcp().expires_at(deadline);
  const auto [unsent, written] = co_await http::async_write(tls_->stream, message, kUseTuple);
  if (unsent) co_return tls_->StatusOf(unsent, "send the request");
  const auto [unread, read] =
      co_await http::async_read(tls_->stream, tls_->buffer, parser, kUseTuple);
  if (unread) co_return tls_->StatusOf(unread, "read the answer");
  tls_->tcp().expires_never();
  // Bytes that nobody has asked for: whose answer would come next is not known.
  open_ = !closed_ && parser.get().keep_alive() && tls_->buffer.size() == 0;
  co_return ToAnswer(parser);
}

}  // namespace tombolo::identity
