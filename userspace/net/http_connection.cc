// SPDX-License-Identifier: Apache-2.0
#include "net/http_connection.h"

#include <array>
#include <utility>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::net {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t kMaxHeader = 16 << 10;
constexpr std::uint64_t kMaxBody = 8 << 20;
constexpr std::size_t kReadSize = 64 << 10;

absl::Status Lost(absl::string_view why) {
  return absl::UnknownError(absl::StrCat("the answer was lost: ", why));
}

}  // namespace

std::string HttpRequest::ToText(const std::string& authority) const {
  std::string text =
      absl::StrCat(body.empty() ? "GET " : "POST ", path, " HTTP/1.1\r\nHost: ", authority, "\r\n");
  if (accept) absl::StrAppend(&text, "Accept: application/json\r\n");
  if (!authorization.empty()) absl::StrAppend(&text, "Authorization: ", authorization, "\r\n");
  if (!body.empty()) {
    absl::StrAppend(&text, "Content-Type: application/json\r\nContent-Length: ", body.size(),
                    "\r\n");
  }
  absl::StrAppend(&text, "\r\n", body);
  return text;
}

absl::StatusOr<HttpAnswer> HttpConnection::Ask(const HttpRequest& request, MonotonicTime deadline) {
  alive_ = false;  // until there is a whole answer
  const absl::Status sent = stream_->Send(request.ToText(authority_), deadline);
  if (!sent.ok()) return Lost(sent.message());
  return Receive(deadline);
}

absl::StatusOr<HttpAnswer> HttpConnection::Receive(MonotonicTime deadline) {
  http::response_parser<http::string_body> parser;
  parser.header_limit(kMaxHeader);
  parser.body_limit(kMaxBody);
  parser.eager(true);
  beast::flat_buffer unread(kMaxHeader + kMaxBody);
  while (!parser.is_done()) {
    const auto space = unread.prepare(kReadSize);
    absl::StatusOr<std::size_t> got =
        stream_->Receive({static_cast<char*>(space.data()), space.size()}, deadline);
    if (!got.ok()) return Lost(got.status().message());
    if (*got == 0 && !parser.got_some()) return Lost("the server closed the connection");
    unread.commit(*got);
    error_code error;
    if (*got > 0) {
      unread.consume(parser.put(unread.data(), error));
    } else {
      parser.put_eof(error);
    }
    if (error == http::error::body_limit) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the answer has more than ", kMaxBody, " bytes"));
    }
    if (error && error != http::error::need_more) return Lost(error.message());
  }
  alive_ = parser.keep_alive() && unread.size() == 0;
  return HttpAnswer{.status = parser.get().result_int(), .body = std::move(parser.get().body())};
}

}  // namespace tombolo::net
