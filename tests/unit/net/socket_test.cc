// SPDX-License-Identifier: Apache-2.0
#include "net/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/errno_status.h"
#include "unit/net/poller_run.h"

namespace tombolo::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SocketTest : public testing::TestWithParam<const char*> {
 protected:
  SocketTest() : poller_(*Poller::Create(io_)) {}

  asio::io_context io_;
  std::unique_ptr<Poller> poller_;
};

SocketAddress Any(const char* host) { return {*IpAddress::Parse(host), 0}; }

struct Pair {
  AsyncFd client;
  AsyncFd server;
};

Awaitable<void> MakePair(Poller& poller, const char* host, Pair& pair) {
  auto listening = Listen(Any(host), 8);
  EXPECT_TRUE(listening.ok()) << listening.status();
  const SocketAddress address = *LocalAddress(listening->get());
  auto listener = AsyncFd::Adopt(poller, *std::move(listening), /*exclusive=*/true);
  auto connected = co_await Connect(poller, *TcpSocket(address), address, After(seconds(5)));
  EXPECT_TRUE(connected.ok()) << connected.status();
  auto accepted = co_await Accept(*listener);
  EXPECT_TRUE(accepted.ok()) << accepted.status();
  pair.client = *std::move(connected);
  EXPECT_EQ(accepted->peer, *LocalAddress(pair.client.get()));
  pair.server = *AsyncFd::Adopt(poller, std::move(accepted->socket));
}

Awaitable<void> ConnectsAndAccepts(Poller& poller, const char* host) {
  Pair pair;
  co_await MakePair(poller, host, pair);
  EXPECT_EQ(PeerAddress(pair.client.get()), LocalAddress(pair.server.get()));
  EXPECT_EQ(LocalAddress(pair.client.get()), PeerAddress(pair.server.get()));
  EXPECT_FALSE(IsClosed(pair.client.get()));
  int no_delay = 0;
  socklen_t size = sizeof(no_delay);
  getsockopt(pair.server.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
  EXPECT_NE(no_delay, 0);
}

TEST_P(SocketTest, ConnectsAndAccepts) {
  RunToEnd(*poller_, ConnectsAndAccepts(*poller_, GetParam()));
}

Awaitable<void> SaysWhoRefused(Poller& poller, const char* host) {
  SocketAddress address;
  {
    const auto listening = Listen(Any(host), 1);
    address = *LocalAddress(listening->get());
  }
  const auto connected = co_await Connect(poller, *TcpSocket(address), address, After(seconds(5)));
  EXPECT_EQ(ErrnoOf(connected.status()), ECONNREFUSED) << connected.status();
  EXPECT_NE(connected.status().message().find(address.ToString()), std::string::npos);
}

TEST_P(SocketTest, SaysWhoRefused) { RunToEnd(*poller_, SaysWhoRefused(*poller_, GetParam())); }

INSTANTIATE_TEST_SUITE_P(Families, SocketTest, testing::Values("127.0.0.1", "::1"));

class Ipv4SocketTest : public SocketTest {};

Awaitable<void> ConnectHasADeadline(Poller& poller) {
  // Linux drops SYNs while the accept queue is full: the third connection hangs.
  auto listening = Listen(Any("127.0.0.1"), 0);
  const SocketAddress address = *LocalAddress(listening->get());
  std::vector<AsyncFd> open;
  absl::Status last;
  for (int i = 0; i < 8 && last.ok(); ++i) {
    auto connected =
        co_await Connect(poller, *TcpSocket(address), address, After(milliseconds(100)));
    last = connected.status();
    if (connected.ok()) open.push_back(*std::move(connected));
  }
  EXPECT_EQ(last.code(), absl::StatusCode::kDeadlineExceeded) << last;
}

TEST_F(Ipv4SocketTest, ConnectHasADeadline) { RunToEnd(*poller_, ConnectHasADeadline(*poller_)); }

Awaitable<void> ResetReachesThePeer(Poller& poller) {
  Pair pair;
  co_await MakePair(poller, "127.0.0.1", pair);
  ResetOnClose(pair.server.get());
  pair.server.Close();
  EXPECT_TRUE((co_await pair.client.WaitHangUp(After(seconds(5)))).ok());
  EXPECT_TRUE(pair.client.hung_up());
  EXPECT_EQ(TakeError(pair.client.get()), ECONNRESET);
  EXPECT_EQ(TakeError(pair.client.get()), 0);
  EXPECT_TRUE(IsClosed(pair.client.get()));
}

TEST_F(Ipv4SocketTest, ResetReachesThePeer) { RunToEnd(*poller_, ResetReachesThePeer(*poller_)); }

Awaitable<void> AcceptedSocketsInheritTheReset(Poller& poller) {
  Fd listening = *Listen(*SocketAddress::Parse("127.0.0.1:0"), 5);
  ResetOnClose(listening.get());
  const SocketAddress address = *LocalAddress(listening.get());
  AsyncFd listener = *AsyncFd::Adopt(poller, std::move(listening));
  for (const bool in_order : {false, true}) {
    AsyncFd client = *co_await Connect(poller, *TcpSocket(address), address, After(seconds(5)));
    Accepted server = *co_await Accept(listener);
    if (in_order) CloseInOrder(server.socket.get());
    server.socket.Close();
    client.ClearReadable();
    EXPECT_TRUE((co_await client.WaitReadable(After(seconds(5)))).ok());
    EXPECT_EQ(TakeError(client.get()), in_order ? 0 : ECONNRESET);
  }
}

TEST_F(Ipv4SocketTest, AcceptedSocketsInheritTheReset) {
  RunToEnd(*poller_, AcceptedSocketsInheritTheReset(*poller_));
}

Awaitable<void> ClosedMeansBothWays(Poller& poller) {
  Pair pair;
  co_await MakePair(poller, "127.0.0.1", pair);
  shutdown(pair.client.get(), SHUT_WR);
  co_await Sleep(poller, milliseconds(20));
  EXPECT_FALSE(IsClosed(pair.client.get()));
  EXPECT_FALSE(IsClosed(pair.server.get()));
  shutdown(pair.server.get(), SHUT_WR);
  EXPECT_TRUE((co_await pair.server.WaitHangUp(After(seconds(5)))).ok());
  EXPECT_TRUE(IsClosed(pair.server.get()));
}

TEST_F(Ipv4SocketTest, ClosedMeansBothWays) { RunToEnd(*poller_, ClosedMeansBothWays(*poller_)); }

// More than both sockets hold, to a peer that does not read, and then is gone.
Awaitable<void> SendsAllOrSaysWhyNot(Poller& poller) {
  Pair pair;
  co_await MakePair(poller, "127.0.0.1", pair);
  EXPECT_TRUE((co_await SendAll(pair.client, "some", After(seconds(5)))).ok());
  char received[8];
  EXPECT_EQ(recv(pair.server.get(), received, sizeof(received), 0), 4);
  const std::string much(64 << 20, 'x');
  const absl::Status late = co_await SendAll(pair.client, much, After(milliseconds(50)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  ResetOnClose(pair.server.get());
  pair.server.Close();
  const absl::Status gone = co_await SendAll(pair.client, much, After(seconds(5)));
  EXPECT_FALSE(gone.ok());
  EXPECT_FALSE(absl::IsDeadlineExceeded(gone)) << gone;
}
TEST_F(Ipv4SocketTest, SendsAllOrSaysWhyNot) { RunToEnd(*poller_, SendsAllOrSaysWhyNot(*poller_)); }

TEST(ListenTest, SaysWhichAddressIsTaken) {
  const auto first = Listen(Any("127.0.0.1"), 1);
  ASSERT_TRUE(first.ok()) << first.status();
  const SocketAddress address = *LocalAddress(first->get());
  const auto second = Listen(address, 1);
  EXPECT_EQ(ErrnoOf(second.status()), EADDRINUSE);
  EXPECT_NE(second.status().message().find(address.ToString()), std::string::npos);
}

TEST(ListenTest, Ipv6IsIpv6Only) {
  const auto v6 = Listen(Any("::"), 1);
  ASSERT_TRUE(v6.ok()) << v6.status();
  const std::uint16_t port = LocalAddress(v6->get())->port;
  EXPECT_TRUE(Listen({*IpAddress::Parse("0.0.0.0"), port}, 1).ok());
}

int KeepAlive(int fd) {
  int probing = -1;
  socklen_t size = sizeof(probing);
  getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &probing, &size);
  return probing;
}

Awaitable<void> AcceptedSocketsInheritKeepAlive(Poller& poller) {
  Fd listening = *Listen(*SocketAddress::Parse("127.0.0.1:0"), 5);
  SetKeepAlive(listening.get());
  const SocketAddress address = *LocalAddress(listening.get());
  AsyncFd listener = *AsyncFd::Adopt(poller, std::move(listening));
  const AsyncFd client = *co_await Connect(poller, *TcpSocket(address), address, After(seconds(5)));
  Accepted accepted = *co_await Accept(listener);
  EXPECT_EQ(KeepAlive(accepted.socket.get()), 1);
  EXPECT_EQ(KeepAlive(client.get()), 0);
}

TEST_F(Ipv4SocketTest, AcceptedSocketsInheritKeepAlive) {
  RunToEnd(*poller_, AcceptedSocketsInheritKeepAlive(*poller_));
}

TEST(TcpSocketTest, KeepAliveProbesWithoutAUserTimeout) {
  const auto socket = TcpSocket(Any("127.0.0.1"));
  ASSERT_TRUE(socket.ok()) << socket.status();
  SetKeepAlive(socket->get());
  int user_timeout = -1;
  socklen_t size = sizeof(int);
  getsockopt(socket->get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, &size);
  EXPECT_EQ(KeepAlive(socket->get()), 1);
  EXPECT_EQ(user_timeout, 0);
}

TEST(TcpSocketTest, ASourceThatIsNotLocalIsRefused) {
  const auto socket = TcpSocket(Any("127.0.0.1"));
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ(ErrnoOf(BindSource(socket->get(), *IpAddress::Parse("192.0.2.7"))), EADDRNOTAVAIL);
  EXPECT_TRUE(BindSource(socket->get(), *IpAddress::Parse("127.0.0.2")).ok());
}

}  // namespace
}  // namespace tombolo::net
