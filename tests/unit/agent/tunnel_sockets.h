// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>

#include <gtest/gtest.h>

#include "base/fd.h"
#include "testing/loopback_listener.h"
#include "unit/gateway/hello_bytes.h"
#include "unit/relay/transfer.h"

// What the peers of a gateway do: who dials it, and the nodes that it dials.
namespace tombolo::agent {

// The alert unrecognized_name: try elsewhere.
inline const std::string kElsewhere({21, 3, 3, 0, 2, 2, 112});

// The ClientHello of a tunnel.
inline std::string HelloFor(const std::string& server_name) {
  gateway::Hello hello;
  hello.server_name = gateway::ServerNames(gateway::HostName(server_name));
  return hello.Record();
}

inline void Send(const Fd& fd, const std::string& bytes) {
  ASSERT_EQ(send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
}

// The gateway's next connection to a node. Does not block.
inline Fd Accept(testing::Loop& loop, const testing::LoopbackListener& node) {
  pollfd wait{.fd = node.fd(), .events = POLLIN, .revents = 0};
  EXPECT_TRUE(loop.RunUntil([&] { return poll(&wait, 1, 0) == 1; })) << "nobody has dialled";
  Fd fd = node.Accept();
  fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
}

// So many bytes, or fewer where the stream has ended.
inline std::string Receive(testing::Loop& loop, const Fd& fd, std::size_t size) {
  std::string got(size, '\0');
  std::size_t have = 0;
  EXPECT_TRUE(loop.RunUntil([&] {
    const ssize_t n = recv(fd.get(), got.data() + have, size - have, 0);
    if (n > 0) have += static_cast<std::size_t>(n);
    return n == 0 || have == size;
  }));
  return got.substr(0, have);
}

}  // namespace tombolo::agent
