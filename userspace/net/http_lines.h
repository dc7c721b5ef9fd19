// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/blocking_stream.h"
#include "base/time.h"
#include "net/http_connection.h"

namespace tombolo::net {

// An answer that goes on, line after line, for as long as the server has something to
// say. Owns the connection, which is for nothing else afterwards. One thread reads.
class HttpLines {
 public:
  static constexpr std::size_t kMaxLine = 8 << 20;  // bytes

  // Sends the request; waits for nothing. Errors are those of HttpConnection::Ask().
  static absl::StatusOr<std::unique_ptr<HttpLines>> Begin(HttpConnection connection,
                                                          const HttpRequest& request,
                                                          MonotonicTime deadline);
  ~HttpLines();

  // The next line, without its end, of an answer with the status 200; with any other
  // status the whole body, once.
  //   DeadlineExceeded: there is no whole line yet. May be called again.
  //   ResourceExhausted: the line has more than kMaxLine bytes.
  //   Unavailable: the answer, or the connection, has ended.
  absl::StatusOr<HttpAnswer> Next(MonotonicTime deadline);

  // Any thread, while this exists: Next() fails from now on.
  void Abort();

 private:
  class Impl;
  explicit HttpLines(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace tombolo::net
