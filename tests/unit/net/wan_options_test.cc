// SPDX-License-Identifier: Apache-2.0
#include "net/wan_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "net/socket.h"

namespace tombolo::net {
namespace {

SocketAddress Loopback() { return *SocketAddress::Parse("127.0.0.1:0"); }

std::string CongestionControlOf(int fd) {
  char name[16] = {};
  socklen_t size = sizeof(name);
  getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size);
  return name;
}

// The largest segment of a connected socket.
int SegmentOf(int fd) {
  int segment = 0;
  socklen_t size = sizeof(segment);
  getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, &size);
  return segment;
}

TEST(WanOptionsTest, OneSideLimitsTheSegmentsOfBoth) {
  const auto listener = Listen(Loopback(), 1);
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto socket = TcpSocket(Loopback());
  ASSERT_TRUE(socket.ok()) << socket.status();
  SetWanOptions(socket->get(), {.congestion_control = "reno", .max_segment = 1220});
  sockaddr_storage storage;
  const socklen_t size = LocalAddress(listener->get())->ToSockaddr(storage);
  const int connected = connect(socket->get(), reinterpret_cast<sockaddr*>(&storage), size);
  ASSERT_TRUE(connected == 0 || errno == EINPROGRESS);
  pollfd ready{.fd = listener->get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&ready, 1, 10000), 1);
  const Fd accepted(accept(listener->get(), nullptr, nullptr));
  ASSERT_TRUE(accepted.valid());
  EXPECT_EQ(CongestionControlOf(socket->get()), "reno");
  // Over loopback it would be 65,483 or so.
  EXPECT_LE(SegmentOf(socket->get()), 1220);
  EXPECT_LE(SegmentOf(accepted.get()), 1220);
  EXPECT_GE(SegmentOf(accepted.get()), 1200);
}

TEST(WanOptionsTest, WhatIsNotWantedStaysAsItWas) {
  const auto untouched = TcpSocket(Loopback());
  const auto socket = TcpSocket(Loopback());
  ASSERT_TRUE(untouched.ok() && socket.ok());
  SetWanOptions(socket->get(), {});
  EXPECT_EQ(CongestionControlOf(socket->get()), CongestionControlOf(untouched->get()));
  EXPECT_EQ(SegmentOf(socket->get()), SegmentOf(untouched->get()));
}

TEST(WanOptionsTest, CongestionControlsAreTriedByName) {
  EXPECT_TRUE(TryCongestionControl("reno").ok());  // every kernel's
  const absl::Status none = TryCongestionControl("of-nobody");
  EXPECT_TRUE(absl::IsNotFound(none)) << none;
}

}  // namespace
}  // namespace tombolo::net
