// SPDX-License-Identifier: Apache-2.0
#include "net/http_lines.h"

#include <chrono>
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
constexpr std::size_t kReadSize = 64 << 10;
// What has begun to arrive goes on arriving.
constexpr auto kRest = std::chrono::seconds(5);

absl::Status Ended(absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("the answer has ended: ", why));
}

}  // namespace

class HttpLines::Impl {
 public:
  explicit Impl(std::unique_ptr<BlockingStream> stream) : stream_(std::move(stream)) {
    parser_.header_limit(kMaxHeader);
    parser_.body_limit(boost::none);  // Next() bounds each line
    parser_.eager(true);
  }

  absl::StatusOr<HttpAnswer> Next(MonotonicTime deadline) {
    for (;;) {
      if (parser_.is_header_done() && parser_.get().result_int() != 200) {
        if (parser_.is_done()) return Whole();
      } else if (const std::size_t end = lines_.find('\n', searched_); end != lines_.npos) {
        return Cut(end);
      }
      searched_ = lines_.size();
      if (lines_.size() > kMaxLine) {
        return absl::ResourceExhaustedError(
            absl::StrCat("a line of the answer has more than ", kMaxLine, " bytes"));
      }
      if (parser_.is_done()) return Ended("by the server");
      RETURN_IF_ERROR(stream_->Wait(deadline));
      RETURN_IF_ERROR(Receive());
    }
  }

  void Abort() { stream_->Abort(); }

 private:
  HttpAnswer Cut(std::size_t end) {
    HttpAnswer line{.status = 200, .body = lines_.substr(0, end)};
    lines_.erase(0, end + 1);
    searched_ = 0;
    return line;
  }

  absl::StatusOr<HttpAnswer> Whole() {
    if (told_) return Ended("by the server");
    told_ = true;
    return HttpAnswer{.status = parser_.get().result_int(), .body = std::move(lines_)};
  }

  absl::Status Receive() {
    if (unread_.size() > kMaxHeader) return Ended("not HTTP");
    const auto space = unread_.prepare(kReadSize);
    const absl::StatusOr<std::size_t> got =
        stream_->Receive({static_cast<char*>(space.data()), space.size()}, After(kRest));
    if (!got.ok()) return Ended(got.status().message());
    unread_.commit(*got);
    error_code error;
    if (*got > 0) {
      unread_.consume(parser_.put(unread_.data(), error));
    } else {
      parser_.put_eof(error);
      if (!error && !parser_.is_done()) return Ended("the server closed the connection");
    }
    if (error && error != http::error::need_more) return Ended(error.message());
    // The parser appends to what is left there.
    lines_.append(parser_.get().body());
    parser_.get().body().clear();
    return absl::OkStatus();
  }

  const std::unique_ptr<BlockingStream> stream_;
  http::response_parser<http::string_body> parser_;
  beast::flat_buffer unread_{kMaxHeader + kReadSize};
  std::string lines_;         // of the body, not yet told
  std::size_t searched_ = 0;  // of those bytes, for a line's end
  bool told_ = false;         // an answer that is not 200
};

absl::StatusOr<std::unique_ptr<HttpLines>> HttpLines::Begin(HttpConnection connection,
                                                            const HttpRequest& request,
                                                            MonotonicTime deadline) {
  const std::string text = request.ToText(connection.authority());
  std::unique_ptr<BlockingStream> stream = std::move(connection).Release();
  RETURN_IF_ERROR(stream->Send(text, deadline));
  return std::unique_ptr<HttpLines>(new HttpLines(std::make_unique<Impl>(std::move(stream))));
}

HttpLines::HttpLines(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpLines::~HttpLines() = default;

absl::StatusOr<HttpAnswer> HttpLines::Next(MonotonicTime deadline) { return impl_->Next(deadline); }

void HttpLines::Abort() { impl_->Abort(); }

}  // namespace tombolo::net
