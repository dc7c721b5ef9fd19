// SPDX-License-Identifier: Apache-2.0
#include "server/parser.h"

#include <iterator>

#include <boost/beast/http/error.hpp>

#include "absl/strings/match.h"

namespace tombolo::ca::https {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

absl::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

std::size_t CountOf(const Parser& parser, http::field field) {
  const auto [begin, end] = parser.get().equal_range(field);
  return static_cast<std::size_t>(std::distance(begin, end));
}

bool IsPost(const Target& target) {
  return target.resource == Resource::kEnroll || target.resource == Resource::kReenroll;
}

Answer RefuseMethod(const Target& target) {
  Answer answer =
      Refuse(405, IsPost(target) ? "only POST is allowed here" : "only GET is allowed here");
  answer.fields.emplace_back("Allow", IsPost(target) ? "POST" : "GET, HEAD");
  return answer;
}

std::optional<Answer> CheckPost(const Parser& parser) {
  const auto& request = parser.get();
  if (CountOf(parser, http::field::content_type) != 1 ||
      !IsMediaType(View(request[http::field::content_type]), "application/pkcs10")) {
    return Refuse(415, "the body has to be application/pkcs10");
  }
  if (request.count(http::field::content_encoding) > 0) {
    return Refuse(415, "the body may not be compressed");
  }
  // Two of them are two answers to the question who asks.
  if (CountOf(parser, http::field::authorization) > 1) {
    return Refuse(400, "more than one Authorization");
  }
  const absl::string_view expected = View(request[http::field::expect]);
  if (!expected.empty() && !absl::EqualsIgnoreCase(expected, "100-continue")) {
    return Refuse(417, "only 100-continue can be expected");
  }
  return std::nullopt;
}

}  // namespace

std::optional<Target> TargetOf(const Parser& parser) {
  return ParseTarget(View(parser.get().target()));
}

std::optional<Answer> CheckHeader(const Parser& parser, const error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return Refuse(431, "the request's header is too large");
  }
  if (error == http::error::body_limit) return Refuse(413, "the request's body is too large");
  if (error) return Refuse(400, "malformed HTTP");
  if (parser.get().version() == 11 && CountOf(parser, http::field::host) != 1) {
    return Refuse(400, "HTTP/1.1 needs one Host");
  }
  // Another coding, or both framings, would leave it open where the next request begins (RFC 9112,
  // section 6.3).
  if (CountOf(parser, http::field::transfer_encoding) > 0 &&
      (!parser.chunked() || CountOf(parser, http::field::content_length) > 0)) {
    return Refuse(400, "unknown framing of the body");
  }
  const std::optional<Target> target = TargetOf(parser);
  if (!target) return Refuse(404, "no such path");
  const http::verb method = parser.get().method();
  if (IsPost(*target)) {
    return method == http::verb::post ? CheckPost(parser) : RefuseMethod(*target);
  }
  if (method != http::verb::get && method != http::verb::head) return RefuseMethod(*target);
  if (!parser.is_done()) return Refuse(413, "a request for this has no body");
  return std::nullopt;
}

std::optional<Answer> CheckBody(const error_code& error) {
  if (!error) return std::nullopt;
  if (error == http::error::body_limit) return Refuse(413, "the request's body is too large");
  return Refuse(400, "malformed HTTP");
}

bool IsFaultOfMessage(const error_code& error) {
  return error.category() == make_error_code(http::error::bad_method).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

bool ExpectsContinue(const Parser& parser) {
  return parser.get().version() == 11 && !parser.is_done() &&
         parser.get().count(http::field::expect) > 0;
}

bool MayGoOn(const Parser& parser) {
  return parser.is_done() && parser.get().version() == 11 && parser.keep_alive();
}

}  // namespace tombolo::ca::https
