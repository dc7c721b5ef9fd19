// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <vector>

#include "base/fd.h"
#include "net/address.h"
#include "net/socket.h"

namespace tombolo::net {

// Somebody on 127.0.0.1: who answers, or is silent, as a way through which no packet gets.
class Place {
 public:
  explicit Place(bool silent = false)
      : listener_(*Listen(*SocketAddress::Parse("127.0.0.1:0"), silent ? 0 : 16)),
        address_(*LocalAddress(listener_.get())) {
    // Linux drops SYNs while the accept queue is full.
    for (int i = 0; silent && i < 4; ++i) {
      sockaddr_storage storage;
      const socklen_t size = address_.ToSockaddr(storage);
      fill_.push_back(*TcpSocket(address_));
      (void)connect(fill_.back().get(), reinterpret_cast<sockaddr*>(&storage), size);
    }
  }
  const SocketAddress& address() const { return address_; }
  // Of one that was silent: who has asked is answered when it asks again, after a second.
  void Answer() {
    fill_.clear();
    (void)listen(listener_.get(), 16);
  }
  void Refuse() { listener_.Close(); }

 private:
  Fd listener_;
  SocketAddress address_;
  std::vector<Fd> fill_;
};

}  // namespace tombolo::net
