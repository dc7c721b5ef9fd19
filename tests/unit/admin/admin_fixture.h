// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/packaged_task.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "admin/server.h"
#include "base/fd.h"
#include "net/address.h"

namespace tombolo::admin {

class TempDir {
 public:
  TempDir() {
    std::string path = (std::filesystem::temp_directory_path() / "tb-admin-XXXXXX").string();
    path_ = mkdtemp(path.data());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A client that sends what it is told, byte for byte.
class RawClient {
 public:
  static RawClient Unix(const std::string& path) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::memcpy(address.sun_path, path.data(), path.size());
    return RawClient(AF_UNIX, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  }
  static RawClient Tcp(const net::SocketAddress& to) {
    sockaddr_storage address;
    const socklen_t size = to.ToSockaddr(address);
    return RawClient(address.ss_family, reinterpret_cast<sockaddr*>(&address), size);
  }

  bool connected() const { return connected_; }
  bool Send(absl::string_view bytes) {
    return send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // One response, by its Content-Length; what has come until then when the
  // connection ends or nothing comes for half a minute.
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
  std::string Get(absl::string_view path) {
    Send(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n\r\n"));
    return ReadResponse();
  }
  // True when the server has ended the connection and sent nothing more.
  bool AtEnd() { return buffer_.empty() && !Fill() && !timed_out_; }

 private:
  RawClient(int family, const sockaddr* address, socklen_t size)
      : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval timeout{.tv_sec = 30, .tv_usec = 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    connected_ = connect(fd_.get(), address, size) == 0;
  }
  bool Fill() {
    char chunk[4096];
    const ssize_t n = read(fd_.get(), chunk, sizeof(chunk));
    timed_out_ = n < 0 && errno == EAGAIN;
    if (n > 0) buffer_.append(chunk, static_cast<std::size_t>(n));
    return n > 0;
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

  Fd fd_;
  bool connected_ = false;
  bool timed_out_ = false;
  std::string buffer_;
};

// A server on a thread of its own.
class ServerThread {
 public:
  ServerThread() : work_(io_.get_executor()), thread_([this] { io_.run(); }) {}
  ServerThread(const ServerThread&) = delete;
  ServerThread& operator=(const ServerThread&) = delete;
  ~ServerThread() {
    Stop();
    work_.reset();
    thread_.join();
  }

  absl::Status Start(Server::Options options, Providers providers) {
    return OnThread([&]() -> absl::Status {
      auto server = Server::Start(io_.get_executor(), std::move(options), std::move(providers));
      if (!server.ok()) return server.status();
      server_ = *std::move(server);
      return absl::OkStatus();
    });
  }
  void Stop() {
    if (!server_) return;
    asio::co_spawn(io_, server_->Stop(), asio::use_future).get();
    OnThread([&] { server_.reset(); });
  }
  net::SocketAddress tcp() const { return *server_->tcp_address(); }
  asio::io_context& io() { return io_; }

 private:
  template <typename F>
  std::invoke_result_t<F> OnThread(F body) {
    return asio::post(io_, std::packaged_task<std::invoke_result_t<F>()>(std::move(body))).get();
  }

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::thread thread_;
  std::unique_ptr<Server> server_;
};

inline Awaitable<boost::json::value> Empty() { co_return boost::json::object(); }

// Enough to answer everything: /v1/status is {"node":"n1"}.
inline Providers TestProviders() {
  Providers providers;
  providers.nouns["status"] = []() -> Awaitable<boost::json::value> {
    boost::json::value status{{"node", "n1"}};
    co_return status;
  };
  providers.nouns["services"] = Empty;
  providers.not_ready = [] { return std::vector<std::string>(); };
  providers.metrics = [] { return std::string("x 1\n"); };
  return providers;
}

}  // namespace tombolo::admin
