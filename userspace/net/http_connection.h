// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/blocking_stream.h"
#include "base/time.h"

// HTTP/1.1 as a client that may block. One request after another, each with a deadline.
namespace tombolo::net {

struct HttpAnswer {
  unsigned status = 0;
  std::string body;
};

// One kept-alive connection, one request at a time. Owns the stream.
class HttpConnection {
 public:
  // `authority` is the server's host and port, as in a URL.
  HttpConnection(std::unique_ptr<BlockingStream> stream, std::string authority)
      : stream_(std::move(stream)), authority_(std::move(authority)) {}

  // A JSON document to `path`. Every error means that the request may have been
  // carried out, and ends the connection: Unknown, or ResourceExhausted when the
  // answer has more than 8 MiB.
  absl::StatusOr<HttpAnswer> Post(const std::string& path, const std::string& body,
                                  MonotonicTime deadline);

  // What is at `path`, with a bearer token if `token` is not empty. Errors are as above.
  absl::StatusOr<HttpAnswer> Get(const std::string& path, const std::string& token,
                                 MonotonicTime deadline);

  // Whether another request may be sent. A server that has closed the connection
  // meanwhile is noticed, unless it does so just now.
  bool Usable() const { return alive_ && stream_->Quiet(); }

 private:
  absl::StatusOr<HttpAnswer> Exchange(const std::string& request, MonotonicTime deadline);
  absl::StatusOr<HttpAnswer> Receive(MonotonicTime deadline);

  const std::unique_ptr<BlockingStream> stream_;
  const std::string authority_;
  bool alive_ = true;
};

}  // namespace tombolo::net
