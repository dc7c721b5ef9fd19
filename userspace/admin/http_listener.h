// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/task_group.h"
#include "base/time.h"

namespace tombolo::admin {

struct HttpResponse {
  unsigned status = 200;
  std::string content_type;
  std::string body;
};

struct HttpLimits {
  std::uint32_t header_bytes = 8 * 1024;
  int connections = 64;  // more of them wait in the kernel's backlog
  // From the end of one request to the last byte of the next one's header, so a
  // client that sends byte by byte gains nothing; and for writing one response.
  Duration idle = std::chrono::seconds(10);
};

// Serves GET over HTTP/1.1 on one listening stream socket, TCP or Unix. Other
// methods are 405, request bodies 413, headers beyond the limit 431.
// Lives on `executor`'s one thread. Stop() before destroying.
class HttpListener {
 public:
  // `handler` gets the path, and the query behind its '?' as it was sent; it must answer in
  // bounded time, and end when it is cancelled. `error` makes the body of the responses above.
  using Handler = std::function<Awaitable<HttpResponse>(std::string path, std::string query)>;
  using ErrorFormat = std::function<HttpResponse(unsigned status, absl::string_view message)>;

  // Takes `fd`, which listens and is non-blocking.
  static absl::StatusOr<std::unique_ptr<HttpListener>> Create(const asio::any_io_executor& executor,
                                                              Fd fd, HttpLimits limits,
                                                              Handler handler, ErrorFormat error);
  void Run();
  // Ends the connections at once and closes the listening socket.
  Awaitable<void> Stop();

  std::size_t open_connections() const { return open_.size(); }

 private:
  using Protocol = asio::generic::stream_protocol;
  using Socket = asio::basic_stream_socket<Protocol>;
  struct Slot;

  HttpListener(const asio::any_io_executor& executor, HttpLimits limits, Handler handler,
               ErrorFormat error);
  Awaitable<void> AcceptAll();
  Awaitable<void> Serve(Socket socket);

  HttpLimits limits_;
  Handler handler_;
  ErrorFormat error_;
  asio::basic_socket_acceptor<Protocol> acceptor_;
  asio::steady_timer slot_free_;  // cancelled when a connection ends
  std::set<Slot*> open_;
  bool stopping_ = false;
  TaskGroup tasks_;
};

}  // namespace tombolo::admin
