// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstdlib>

#include "base/fd.h"

namespace tombolo::testing {

// Listens on 127.0.0.1, on a port that was free.
class LoopbackListener {
 public:
  LoopbackListener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    if (bind(fd_.get(), raw, size) != 0 || listen(fd_.get(), 16) != 0 ||
        getsockname(fd_.get(), raw, &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
  }

  int fd() const { return fd_.get(); }
  std::uint16_t port() const { return port_; }
  // Blocks until there is a connection.
  Fd Accept() const { return Fd(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

 private:
  Fd fd_;
  std::uint16_t port_ = 0;
};

}  // namespace tombolo::testing
