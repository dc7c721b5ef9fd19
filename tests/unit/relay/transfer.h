// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/fd.h"
#include "net/socket.h"
#include "unit/tls/stream_pair.h"

// What goes in at one plain socket comes out of another, through what a test has put between them.
namespace tombolo::testing {

// A whole transfer, driven by Pump().
struct Transfer {
  int from, to;
  std::string data;
  bool half_close = true;
  std::size_t sent = 0;
  std::string got = {};
  bool closed = false;  // the sender has half-closed
  bool ended = false;   // and the receiver has seen it

  bool Pump() {
    while (sent < data.size()) {
      const ssize_t n = send(from, data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
      if (n < 0) break;
      sent += static_cast<std::size_t>(n);
    }
    if (sent == data.size() && half_close && !closed) closed = shutdown(from, SHUT_WR) == 0;
    char part[65536];
    ssize_t n;
    while ((n = recv(to, part, sizeof(part), 0)) > 0) got.append(part, n);
    if (n == 0) ended = true;
    return half_close ? ended : got.size() >= data.size();
  }
};

// Sends until nothing has moved for a while: every buffer on the way is full.
inline void PumpUntilStuck(Loop& loop, Transfer& transfer) {
  for (std::size_t before = 1; before != transfer.sent;) {
    before = transfer.sent;
    ASSERT_TRUE(before < transfer.data.size()) << "nothing stops the sender";
    loop.RunUntil([&, until = After(std::chrono::milliseconds(200))] {
      transfer.Pump();
      return std::chrono::steady_clock::now() > until;
    });
    loop.Settle();
  }
}

inline void Move(Loop& loop, Transfer& transfer) {
  EXPECT_TRUE(loop.RunUntil([&] { return transfer.Pump(); }))
      << transfer.sent << " sent, " << transfer.got.size() << " of " << transfer.data.size();
  EXPECT_TRUE(transfer.got == transfer.data);
}

inline void MoveText(Loop& loop, int from, int to, const std::string& text) {
  Transfer transfer{.from = from, .to = to, .data = text, .half_close = false};
  Move(loop, transfer);
}

inline std::string Text(std::size_t size) {
  const auto bytes = Pattern(size);
  return {bytes.begin(), bytes.end()};
}

// The errno with which reading `fd` ends; 0: an orderly end of stream.
inline int HowItEnds(Loop& loop, int fd) {
  int error = -1;
  EXPECT_TRUE(loop.RunUntil([&] {
    char part[65536];
    ssize_t n;
    while ((n = recv(fd, part, sizeof(part), 0)) > 0) {
    }
    if (n < 0 && errno == EAGAIN) return false;
    error = n == 0 ? 0 : errno;
    return true;
  }));
  return error;
}

inline void Reset(Fd& fd) {
  net::ResetOnClose(fd.get());
  fd.Close();
}

}  // namespace tombolo::testing
