// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/parse.hpp>

#include "absl/strings/str_cat.h"
#include "base/asio.h"

namespace tombolo::cli {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace json = boost::json;
using asio::local::stream_protocol;
using boost::system::error_code;
using Stream = beast::basic_stream<stream_protocol>;

// A node with 100,000 connections answers about 60 MB.
constexpr std::uint64_t kMaxBody = 1ULL << 30;

absl::Status TimedOut(const std::string& socket_path) {
  return absl::DeadlineExceededError(
      absl::StrCat("the agent at ", socket_path,
                   " did not answer in time: it is overloaded or stuck; see its log "
                   "(journalctl -u tombolo-agent)"));
}

absl::Status ConnectError(const std::string& socket_path, const error_code& error) {
  if (error == beast::error::timeout) return TimedOut(socket_path);
  const std::string what = absl::StrCat("cannot reach the agent at ", socket_path, ": ");
  switch (error.value()) {
    case ENOENT:
      return absl::UnavailableError(
          absl::StrCat(what,
                       "there is no such socket: the agent does not run here, "
                       "or its admin.socket "
                       "is elsewhere; start it (systemctl start "
                       "tombolo-agent), or use --socket"));
    case ECONNREFUSED:
      return absl::UnavailableError(
          absl::StrCat(what,
                       "the socket is there, but nobody listens: the agent has stopped or "
                       "crashed; see systemctl status tombolo-agent"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "only the agent's user may open it; run as root (sudo)"));
    default:
      return absl::UnavailableError(absl::StrCat(what, error.message()));
  }
}

absl::Status AnswerError(const std::string& socket_path, const error_code& error) {
  if (error == beast::error::timeout) return TimedOut(socket_path);
  return absl::UnavailableError(absl::StrCat("the agent at ", socket_path,
                                             " broke off its answer: ", error.message(),
                                             "; was it stopped just now? Try again"));
}

// The agent explains itself in the field "error"; another server may not.
absl::Status NotOk(const std::string& socket_path, unsigned code, const std::string& body) {
  error_code error;
  const json::value value = json::parse(body, error);
  std::string why = absl::StrCat("status ", code);
  if (!error && value.is_object()) {
    const json::value* field = value.get_object().if_contains("error");
    if (field != nullptr && field->is_string()) why = std::string(field->get_string());
  }
  return absl::UnknownError(absl::StrCat("the agent at ", socket_path, " answered: ", why));
}

Awaitable<absl::StatusOr<std::string>> Exchange(std::string socket_path, std::string path,
                                                Duration timeout) {
  Stream stream(co_await asio::this_coro::executor);
  stream.expires_after(timeout);
  const stream_protocol::endpoint endpoint(socket_path);
  auto [connect_error] = co_await stream.async_connect(endpoint, kUseTuple);
  if (connect_error) co_return ConnectError(socket_path, connect_error);

  http::request<http::empty_body> request(http::verb::get, path, 11);
  request.set(http::field::host, "tombolo-agent");
  request.keep_alive(false);
  auto [write_error, written] = co_await http::async_write(stream, request, kUseTuple);
  if (write_error) co_return AnswerError(socket_path, write_error);

  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxBody);
  auto [read_error, read] = co_await http::async_read(stream, buffer, parser, kUseTuple);
  if (read_error) co_return AnswerError(socket_path, read_error);
  if (parser.get().result() != http::status::ok) {
    co_return NotOk(socket_path, parser.get().result_int(), parser.get().body());
  }
  co_return std::move(parser.get().body());
}

}  // namespace

absl::StatusOr<std::string> Get(const std::string& socket_path, const std::string& path,
                                Duration timeout) {
  if (socket_path.size() >= sizeof(sockaddr_un{}.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket path '", socket_path,
                                                   "' is longer than ",
                                                   sizeof(sockaddr_un{}.sun_path) - 1, " bytes"));
  }
  asio::io_context io(1);
  absl::StatusOr<std::string> result = absl::InternalError("the request did not run");
  asio::co_spawn(io, Exchange(socket_path, path, timeout),
                 [&result](const std::exception_ptr& error, absl::StatusOr<std::string> answer) {
                   if (error) std::rethrow_exception(error);
                   result = std::move(answer);
                 });
  io.run();
  return result;
}

}  // namespace tombolo::cli
