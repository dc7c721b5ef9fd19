// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <boost/asio/any_io_executor.hpp>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/time.h"
#include "identity/http_message.h"
#include "net/address.h"
#include "net/https_url.h"
#include "tls/https.h"

namespace tombolo::identity {

using HttpsContextPtr = std::shared_ptr<const tls::HttpsContext>;

// One connection to an HTTPS server, for one request at a time. Used on the one thread of
// `executor`. Destroy it when no call is pending; Close() ends one that is.
class HttpsConnection {
 public:
  HttpsConnection(const asio::any_io_executor& executor, net::HttpsUrl url,
                  HttpsContextPtr context);
  ~HttpsConnection();

  // Tries the host's addresses in turn, each with its share of the time. Once.
  Awaitable<absl::Status> Open(MonotonicTime deadline);

  // Sends a request and reads the answer, HTTP/1.1. An error ends the connection: DeadlineExceeded,
  // or Unavailable when it broke or the answer is not HTTP; ResourceExhausted for one that is too
  // large; one that carries a HandshakeFailure when the server has refused this side's certificate.
  Awaitable<absl::StatusOr<HttpAnswer>> Exchange(HttpRequest request, MonotonicTime deadline);

  // Whether another request may follow.
  bool open() const { return open_; }
  const HttpsContextPtr& context() const { return context_; }
  void Close();

 private:
  struct Tls;  // the stream

  Awaitable<absl::Status> OpenOne(net::SocketAddress address, MonotonicTime deadline);

  asio::any_io_executor executor_;
  const net::HttpsUrl url_;
  const HttpsContextPtr context_;
  std::unique_ptr<Tls> tls_;
  bool open_ = false;
  bool closed_ = false;  // by Close()
};

}  // namespace tombolo::identity
