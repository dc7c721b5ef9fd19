// SPDX-License-Identifier: Apache-2.0
#include "admin/http_listener.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "base/errno_status.h"

namespace tombolo::admin {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Stream = beast::basic_stream<asio::generic::stream_protocol>;
using Parser = http::request_parser<http::empty_body>;
using Message = http::response<http::string_body>;

constexpr auto kAcceptRetry = std::chrono::milliseconds(100);
constexpr auto kLingerTime = std::chrono::seconds(1);
constexpr std::size_t kLingerBytes = 65536;

// What is wrong with the request before anyone looks at its path; null when
// nothing. `broken` means that the next request's start cannot be found.
struct Refusal {
  http::status status;
  absl::string_view message;
  bool broken;
};

std::optional<Refusal> Check(const Parser& parser, const error_code& error) {
  const bool has_body = error == http::error::body_limit || (!error && !parser.is_done());
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return Refusal{http::status::request_header_fields_too_large, "request header too large", true};
  }
  if (error && !has_body) return Refusal{http::status::bad_request, "malformed request", true};
  if (parser.get().method() != http::verb::get) {
    return Refusal{http::status::method_not_allowed, "only GET is allowed", has_body};
  }
  if (has_body) return Refusal{http::status::payload_too_large, "a request has no body here", true};
  return std::nullopt;
}

Message ToMessage(HttpResponse response, const Parser& parser, bool keep_alive) {
  Message message;
  message.result(response.status);
  message.version(11);
  message.set(http::field::content_type, response.content_type);
  message.set(http::field::cache_control, "no-store");
  if (response.status == static_cast<unsigned>(http::status::method_not_allowed)) {
    message.set(http::field::allow, "GET");
  }
  // A response to HEAD has no body (RFC 9110, 9.3.2), even when it is an error.
  if (parser.get().method() != http::verb::head) message.body() = std::move(response.body);
  message.keep_alive(keep_alive);
  message.prepare_payload();
  return message;
}

// Closing with unread bytes would reset the connection, and the client might
// lose the response that says why.
Awaitable<void> Linger(Stream& stream) {
  error_code ignored;
  stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
  stream.expires_after(kLingerTime);
  std::array<char, 4096> waste;
  for (std::size_t read = 0; read < kLingerBytes;) {
    auto [error, n] = co_await stream.async_read_some(asio::buffer(waste), kUseTuple);
    if (error) break;
    read += n;
  }
}

// A header's fault is the client's and gets an answer; a connection's does not.
bool IsHttpError(const error_code& error) {
  return error.category() == make_error_code(http::error::bad_method).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

struct Target {
  std::string path, query;
};
Target TargetOf(const Parser& parser) {
  const auto target = parser.get().target();
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return {std::string(target), ""};
  return {std::string(target.substr(0, mark)), std::string(target.substr(mark + 1))};
}

}  // namespace

// One open connection, for as long as it lives.
struct HttpListener::Slot {
  Slot(HttpListener& listener_in, Stream& stream_in) : listener(listener_in), stream(stream_in) {
    listener.open_.insert(this);
  }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot() {
    listener.open_.erase(this);
    listener.slot_free_.cancel();
  }
  HttpListener& listener;
  Stream& stream;
};

HttpListener::HttpListener(const asio::any_io_executor& executor, HttpLimits limits,
                           Handler handler, ErrorFormat error)
    : limits_(limits),
      handler_(std::move(handler)),
      error_(std::move(error)),
      acceptor_(executor),
      slot_free_(executor, MonotonicTime::max()),
      tasks_(executor) {}

absl::StatusOr<std::unique_ptr<HttpListener>> HttpListener::Create(
    const asio::any_io_executor& executor, Fd fd, HttpLimits limits, Handler handler,
    ErrorFormat error) {
  int family = 0;
  socklen_t size = sizeof(family);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) {
    return ErrnoStatus(errno, "SO_DOMAIN");
  }
  std::unique_ptr<HttpListener> listener(
      new HttpListener(executor, limits, std::move(handler), std::move(error)));
  error_code failed;
  listener->acceptor_.assign(Protocol(family, 0), fd.get(), failed);
  if (failed) return ErrnoStatus(failed.value(), "watch the listening socket");
  (void)fd.Release();
  return listener;
}

void HttpListener::Run() { tasks_.Spawn(AcceptAll()); }

Awaitable<void> HttpListener::Stop() {
  stopping_ = true;
  // A cancellation that meets a composed operation between two of its reads is lost; a
  // closed socket is not.
  for (Slot* slot : open_) slot->stream.close();
  co_await tasks_.CancelAndJoin();
  error_code ignored;
  acceptor_.close(ignored);
}

Awaitable<void> HttpListener::AcceptAll() {
  asio::steady_timer retry(acceptor_.get_executor());
  for (;;) {
    while (std::ssize(open_) >= limits_.connections) {
      slot_free_.expires_at(MonotonicTime::max());
      co_await slot_free_.async_wait(kUseTuple);
    }
    auto [error, socket] = co_await acceptor_.async_accept(kUseTuple);
    if (stopping_) co_return;
    if (error) {  // descriptors have run out: some will come back
      retry.expires_after(kAcceptRetry);
      co_await retry.async_wait(kUseTuple);
      continue;
    }
    tasks_.Spawn(Serve(std::move(socket)));
  }
}

Awaitable<void> HttpListener::Serve(Socket socket) {
  Stream stream(std::move(socket));
  const Slot slot(*this, stream);
  // Room for one header and what a pipelining client has sent behind it.
  beast::flat_buffer buffer(2 * std::size_t{limits_.header_bytes});
  for (;;) {
    Parser parser;
    parser.header_limit(limits_.header_bytes);
    parser.body_limit(0);
    stream.expires_after(limits_.idle);
    auto [error, n] = co_await http::async_read_header(stream, buffer, parser, kUseTuple);
    if (error && !IsHttpError(error)) co_return;

    const std::optional<Refusal> refusal = Check(parser, error);
    HttpResponse response;
    if (refusal) {
      response = error_(static_cast<unsigned>(refusal->status), refusal->message);
    } else {
      Target target = TargetOf(parser);
      response = co_await handler_(std::move(target.path), std::move(target.query));
    }
    const bool keep_alive = parser.get().keep_alive() && !(refusal && refusal->broken);
    const Message message = ToMessage(std::move(response), parser, keep_alive);
    stream.expires_after(limits_.idle);
    auto [write_error, written] = co_await http::async_write(stream, message, kUseTuple);
    if (write_error) co_return;
    if (!keep_alive) break;
  }
  co_await Linger(stream);
}

}  // namespace tombolo::admin
