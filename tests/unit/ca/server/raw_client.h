// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "net/address.h"
#include "tls/https.h"

namespace tombolo::ca::https {

// A client over TLS that sends what it is told, byte for byte. Whatever takes more than half a
// minute has failed.
class RawClient {
 public:
  using Tcp = boost::asio::ip::tcp;
  using error_code = boost::system::error_code;

  RawClient(const net::SocketAddress& to, std::shared_ptr<const tls::HttpsContext> context)
      : context_(std::move(context)), stream_(Tcp::socket(io_), context_->context()) {
    const Tcp::endpoint endpoint(boost::asio::ip::address_v4::loopback(), to.port);
    Tcp::socket& socket = stream_.next_layer();
    connected_ =
        Run([&](auto done) { socket.async_connect(endpoint, done); }) && Run([&](auto done) {
          stream_.async_handshake(boost::asio::ssl::stream_base::client, done);
        });
  }

  // As far as the client knows, who may be refused yet.
  bool connected() const { return connected_; }

  bool Send(absl::string_view bytes) {
    return Run([&](auto done) {
      boost::asio::async_write(stream_, boost::asio::buffer(bytes.data(), bytes.size()),
                               [done](error_code error, std::size_t) { done(error); });
    });
  }
  bool SendGet(absl::string_view path, absl::string_view fields = "") {
    return Send(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n", fields, "\r\n"));
  }
  bool SendEnrol(absl::string_view body, absl::string_view fields = "Authorization: Bearer t\r\n") {
    return Send(absl::StrCat("POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\n",
                             "Content-Type: application/pkcs10\r\nContent-Length: ", body.size(),
                             "\r\n", fields, "\r\n", body));
  }

  // One response, by its Content-Length; what has come until then when the connection ends.
  std::string ReadResponse() {
    for (;;) {
      if (const std::size_t size = ResponseSize(); size > 0 && buffer_.size() >= size) {
        std::string response = buffer_.substr(0, size);
        buffer_.erase(0, size);
        return response;
      }
      if (!Fill()) return std::exchange(buffer_, "");
    }
  }
  std::string Get(absl::string_view path, absl::string_view fields = "") {
    SendGet(path, fields);
    return ReadResponse();
  }
  // The server has ended the connection, and has sent nothing more.
  bool AtEnd() { return buffer_.empty() && !Fill() && !timed_out_; }
  // And in order, with close_notify.
  bool AtOrderlyEnd() { return AtEnd() && last_ == boost::asio::error::eof; }
  void Close() {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }
  absl::Status error() { return tls::HttpsError(stream_.native_handle(), last_); }

 private:
  template <typename Start>
  bool Run(Start start) {
    std::optional<error_code> result;
    start([&](error_code error) { result = error; });
    io_.restart();
    io_.run_for(std::chrono::seconds(30));
    timed_out_ = !result;
    if (timed_out_) {
      Close();
      io_.restart();
      io_.run();
    }
    last_ = *result;
    return !timed_out_ && !last_;
  }
  bool Fill() {
    std::array<char, 4096> room;
    std::size_t size = 0;
    const bool read = Run([&](auto done) {
      stream_.async_read_some(boost::asio::buffer(room),
                              [&, done](error_code error, std::size_t n) {
                                size = n;
                                done(error);
                              });
    });
    buffer_.append(room.data(), size);
    return read;
  }
  std::size_t ResponseSize() const {
    const std::size_t end = buffer_.find("\r\n\r\n");
    if (end == std::string::npos) return 0;
    constexpr absl::string_view kLength = "Content-Length: ";
    const std::size_t at = buffer_.find(std::string(kLength));
    if (at == std::string::npos || at > end) return end + 4;
    const std::size_t digits = at + kLength.size();
    std::size_t length = 0;
    (void)absl::SimpleAtoi(buffer_.substr(digits, buffer_.find('\r', digits) - digits), &length);
    return end + 4 + length;
  }

  std::shared_ptr<const tls::HttpsContext> context_;
  boost::asio::io_context io_{1};
  boost::asio::ssl::stream<Tcp::socket> stream_;
  bool connected_ = false;
  bool timed_out_ = false;
  error_code last_;
  std::string buffer_;
};

}  // namespace tombolo::ca::https
