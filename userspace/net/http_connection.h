// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/blocking_stream.h"
#include "base/time.h"

// HTTP/1.1 as a client that may block. One request after another, each with a deadline.
namespace tombolo::net {

struct HttpAnswer {
  unsigned status = 0;
  std::string body;
};

// A request for or with JSON, as text. Without a body it is a GET, otherwise a POST.
struct HttpRequest {
  std::string path;
  std::string body{};
  std::string authorization{};  // the header's value; "": no such header
  bool accept = true;           // says that it accepts JSON

  std::string ToText(const std::string& authority) const;
};

// One kept-alive connection, one request at a time. Owns the stream.
class HttpConnection {
 public:
  // `authority` is the server's host and port, as in a URL.
  HttpConnection(std::unique_ptr<BlockingStream> stream, std::string authority)
      : stream_(std::move(stream)), authority_(std::move(authority)) {}

  // Every error means that the request may have been carried out, and ends the
  // connection: Unknown, or ResourceExhausted when the answer has more than 8 MiB.
  absl::StatusOr<HttpAnswer> Ask(const HttpRequest& request, MonotonicTime deadline);

  // Whether another request may be sent. A server that has closed the connection
  // meanwhile is noticed, unless it does so just now.
  bool Usable() const { return alive_ && stream_->Quiet(); }

  // Any thread, while the connection exists: what is under way, and everything later, fails.
  void Abort() { stream_->Abort(); }

  // For what is spoken from here on by somebody else.
  std::unique_ptr<BlockingStream> Release() && { return std::move(stream_); }
  const std::string& authority() const { return authority_; }

 private:
  absl::StatusOr<HttpAnswer> Receive(MonotonicTime deadline);

  std::unique_ptr<BlockingStream> stream_;
  const std::string authority_;
  bool alive_ = true;
};

}  // namespace tombolo::net
