// SPDX-License-Identifier: Apache-2.0
// What connect() does, by who calls and what is called.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "fixture.h"

namespace tombolo::datapath {
namespace {

TEST_F(DatapathTest, CapturesIpv4AndKeepsTheDestination) {
  const Attempt attempt = Connect(workload_, kVip);
  ASSERT_EQ(attempt.error, 0) << std::strerror(attempt.error);
  auto original = AcceptAndTake(listener4_);
  ASSERT_TRUE(original.ok()) << original.status();
  EXPECT_EQ(original->destination.ToString(), kVip);
  EXPECT_EQ(original->cgroup_id, workload_.id());
  std::uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  ASSERT_EQ(getsockopt(attempt.socket.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
  EXPECT_EQ(original->socket_cookie, cookie);
  EXPECT_EQ(PeerOf(attempt.socket), kVip);
  EXPECT_EQ(Count("captured"), 1u);
}

TEST_F(DatapathTest, CapturesIpv6) {
  const Attempt attempt = Connect(workload_, kVip6);
  ASSERT_EQ(attempt.error, 0) << std::strerror(attempt.error);
  auto original = AcceptAndTake(listener6_);
  ASSERT_TRUE(original.ok()) << original.status();
  EXPECT_EQ(original->destination.ToString(), kVip6);
  EXPECT_EQ(PeerOf(attempt.socket), kVip6);
}

TEST_F(DatapathTest, CapturesV4MappedIpv6ByTheIpv4Listener) {
  const Attempt attempt = Connect(workload_, kVip, Via::kMapped);
  ASSERT_EQ(attempt.error, 0) << std::strerror(attempt.error);
  auto original = AcceptAndTake(listener4_);
  ASSERT_TRUE(original.ok()) << original.status();
  EXPECT_EQ(original->destination.ToString(), kVip);
  EXPECT_EQ(PeerOf(attempt.socket), kVip);
}

TEST_F(DatapathTest, CapturesNonBlockingConnect) {
  const Attempt attempt = Connect(workload_, kVip, Via::kNative, SOCK_NONBLOCK);
  ASSERT_EQ(attempt.error, EINPROGRESS);
  pollfd ready{.fd = attempt.socket.get(), .events = POLLOUT, .revents = 0};
  ASSERT_EQ(poll(&ready, 1, 2000), 1);
  auto original = AcceptAndTake(listener4_);
  ASSERT_TRUE(original.ok()) << original.status();
  EXPECT_EQ(original->destination.ToString(), kVip);
}

TEST_F(DatapathTest, NestedCgroupsBelongToTheNearestWorkload) {
  auto inner = workload_.Child("inner");
  ASSERT_TRUE(inner.ok()) << inner.status();
  auto leaf = inner->Child("leaf");
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  const Attempt outer = Connect(*leaf, kVip);
  ASSERT_EQ(outer.error, 0);
  EXPECT_EQ(AcceptAndTake(listener4_)->cgroup_id, workload_.id());

  desired_.workloads.push_back({inner->id(), false});
  desired_.allowed.push_back({inner->id(), 1});
  Apply();
  const Attempt nearest = Connect(*leaf, kVip);
  ASSERT_EQ(nearest.error, 0);
  EXPECT_EQ(AcceptAndTake(listener4_)->cgroup_id, inner->id());
}

TEST_F(DatapathTest, LeavesOtherDestinationsAlone) {
  EXPECT_EQ(ConnectError(workload_, "10.96.0.10:81"), ENETUNREACH);
  EXPECT_EQ(ConnectError(workload_, "10.96.0.11:80"), ENETUNREACH);
  EXPECT_EQ(Count("allowed_unknown"), 2u);
}

TEST_F(DatapathTest, LeavesCallersWithoutWorkloadAlone) {
  EXPECT_EQ(ConnectError(stranger_, kVip), ENETUNREACH);
  EXPECT_EQ(Count("allowed_unenrolled"), 1u);
}

TEST_F(DatapathTest, LeavesTheExemptAgentAlone) {
  EXPECT_EQ(ConnectError(agent_, kVip), ENETUNREACH);
  EXPECT_EQ(Count("allowed_exempt"), 1u);
}

TEST_F(DatapathTest, LeavesUdpAlone) {
  const net::SocketAddress vip = Address(kVip);
  sockaddr_storage storage{};
  const socklen_t length = vip.ToSockaddr(storage);
  int error = 0;
  ASSERT_TRUE(workload_
                  .Run([&] {
                    const Fd udp(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
                    const auto* raw = reinterpret_cast<const sockaddr*>(&storage);
                    error = connect(udp.get(), raw, length) == 0 ? 0 : errno;
                  })
                  .ok());
  EXPECT_EQ(error, ENETUNREACH);
  EXPECT_EQ(Count("captured"), 0u);
}

TEST_F(DatapathTest, RefusesPairsThatAreNotAllowed) {
  desired_.allowed.clear();
  Apply();
  EXPECT_EQ(ConnectError(workload_, kVip), EACCES);
  EXPECT_EQ(ConnectError(workload_, kVip6), EACCES);
  EXPECT_EQ(ConnectError(workload_, kVip, Via::kMapped), EACCES);
  EXPECT_EQ(Count("refused_denied"), 3u);
}

TEST_F(DatapathTest, RefusesServicesWithoutEndpoint) {
  desired_.services[0].action = DesiredState::Action::kRefuse;
  Apply();
  EXPECT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
  EXPECT_EQ(Count("refused_no_endpoint"), 1u);
}

TEST_F(DatapathTest, ServicesThatAreGoneRefuse) {
  desired_.services.clear();
  Apply();
  EXPECT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
  EXPECT_EQ(ConnectError(workload_, kVip6), ECONNREFUSED);
  EXPECT_EQ(Count("refused_tombstone"), 2u);
  EXPECT_EQ(ConnectError(stranger_, kVip), ENETUNREACH);
}

TEST_F(DatapathTest, RefusesWithoutListener) {
  listener4_.Close();
  EXPECT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
  EXPECT_EQ(Count("refused_no_listener"), 1u);
  EXPECT_EQ(ConnectError(workload_, kVip6), 0);
}

TEST_F(DatapathTest, RefusesAListenerThatIsNotTheAgents) {
  listener4_.Close();
  const Fd thief = ListenOn("127.0.0.1:15001");
  EXPECT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
  EXPECT_EQ(Count("refused_bad_listener"), 1u);
  pollfd ready{.fd = thief.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&ready, 1, 0), 0) << "the thief got a connection";
}

TEST_F(DatapathTest, ProtectedRangesAreClosedToCallersWithoutWorkload) {
  desired_.protected_ranges = {*net::Prefix::Parse("10.96.0.0/16"),
                               *net::Prefix::Parse("fd00:96::/64")};
  Apply();
  EXPECT_EQ(ConnectError(stranger_, kVip), EACCES);            // a service
  EXPECT_EQ(ConnectError(stranger_, "10.96.7.7:22"), EACCES);  // none
  EXPECT_EQ(ConnectError(stranger_, "10.96.7.7:22", Via::kMapped), EACCES);
  EXPECT_EQ(ConnectError(stranger_, "[fd00:96::7]:22"), EACCES);
  EXPECT_EQ(Count("refused_protected"), 4u);
  EXPECT_EQ(ConnectError(stranger_, "10.97.7.7:22"), ENETUNREACH);
  EXPECT_EQ(ConnectError(workload_, "10.96.7.7:22"), ENETUNREACH);
  EXPECT_EQ(ConnectError(agent_, "10.96.7.7:22"), ENETUNREACH);
  EXPECT_EQ(ConnectError(workload_, kVip), 0);

  desired_.protected_ranges.clear();
  Apply();
  EXPECT_EQ(ConnectError(stranger_, "10.96.7.7:22"), ENETUNREACH);
}

TEST_F(DatapathTest, NothingButServicesIsReachedInServiceRanges) {
  desired_.service_ranges = {*net::Prefix::Parse("10.96.0.0/16")};
  Apply();
  EXPECT_EQ(ConnectError(workload_, kVip), 0);
  EXPECT_EQ(ConnectError(workload_, "10.96.7.7:22"), ECONNREFUSED);
  EXPECT_EQ(ConnectError(stranger_, "10.96.7.7:22"), EACCES);
  EXPECT_EQ(ConnectError(workload_, "10.97.7.7:22"), ENETUNREACH);

  // A VIP that somebody still knows stays refused.
  desired_.service_ranges.clear();
  Apply();
  EXPECT_EQ(ConnectError(workload_, "10.96.7.7:22"), ECONNREFUSED);
}

TEST_F(DatapathTest, ASocketThatConnectsAgainForgetsItsFirstDestination) {
  const Attempt attempt = Connect(workload_, kVip);
  ASSERT_EQ(attempt.error, 0);
  const sockaddr unspecified{.sa_family = AF_UNSPEC, .sa_data = {}};
  ASSERT_EQ(connect(attempt.socket.get(), &unspecified, sizeof(unspecified)), 0);
  const Fd server = ListenOn("127.0.0.1:8080");
  const net::SocketAddress plain = Address("127.0.0.1:8080");
  sockaddr_storage storage{};
  const socklen_t length = plain.ToSockaddr(storage);
  ASSERT_TRUE(workload_
                  .Run([&] {
                    const auto* raw = reinterpret_cast<const sockaddr*>(&storage);
                    EXPECT_EQ(connect(attempt.socket.get(), raw, length), 0);
                  })
                  .ok());
  EXPECT_EQ(PeerOf(attempt.socket), "127.0.0.1:8080");
  EXPECT_EQ(Entries("tb_orig_dst"), 0u);
}

TEST_F(DatapathTest, PeerOfOtherSocketsIsTheTruth) {
  const Fd server = ListenOn("127.0.0.1:8080");
  const Attempt plain = Connect(workload_, "127.0.0.1:8080");
  ASSERT_EQ(plain.error, 0);
  EXPECT_EQ(PeerOf(plain.socket), "127.0.0.1:8080");
}

TEST_F(DatapathTest, RefusesSocketsThatAreBoundToADevice) {
  const net::SocketAddress vip = Address(kVip);
  sockaddr_storage storage{};
  const socklen_t length = vip.ToSockaddr(storage);
  if (system("ip link add tb0 type veth peer name tb1") != 0) {
    TOMBOLO_SKIP_WITHOUT("veth interfaces, or the ip command");
  }
  int error = 0;
  ASSERT_TRUE(workload_
                  .Run([&] {
                    const Fd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                    EXPECT_EQ(setsockopt(tcp.get(), SOL_SOCKET, SO_BINDTODEVICE, "tb0", 3), 0);
                    const auto* raw = reinterpret_cast<const sockaddr*>(&storage);
                    error = connect(tcp.get(), raw, length) == 0 ? 0 : errno;
                  })
                  .ok());
  EXPECT_EQ(error, ENETUNREACH);
  EXPECT_EQ(Count("refused_device"), 1u);
  EXPECT_EQ(system("ip link del tb0"), 0);
}

// The TCP connection of an MPTCP socket is made by a socket of its own.
TEST_F(DatapathTest, CapturesMptcp) {
  const net::SocketAddress vip = Address(kVip);
  sockaddr_storage storage{};
  const socklen_t length = vip.ToSockaddr(storage);
  Fd mptcp;
  int error = 0;
  ASSERT_TRUE(workload_
                  .Run([&] {
                    mptcp = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 262));
                    const auto* raw = reinterpret_cast<const sockaddr*>(&storage);
                    error = connect(mptcp.get(), raw, length) == 0 ? 0 : errno;
                  })
                  .ok());
  if (!mptcp.valid()) TOMBOLO_SKIP_WITHOUT("MPTCP sockets");
  ASSERT_EQ(error, 0) << std::strerror(error);
  auto original = AcceptAndTake(listener4_);
  ASSERT_TRUE(original.ok()) << original.status();
  EXPECT_EQ(original->destination.ToString(), kVip);
}

// MSG_FASTOPEN connects inside sendto(); TCP_FASTOPEN_CONNECT may put the connect
// off until the first write.
TEST_F(DatapathTest, CapturesFastOpen) {
  const net::SocketAddress vip = Address(kVip);
  sockaddr_storage storage{};
  const socklen_t length = vip.ToSockaddr(storage);
  const auto* raw = reinterpret_cast<const sockaddr*>(&storage);
  for (int round = 0; round < 3; ++round) {  // the second and third may have a cookie
    Fd by_send, by_connect;
    ASSERT_TRUE(workload_
                    .Run([&] {
                      by_send = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                      EXPECT_EQ(sendto(by_send.get(), "hi", 2, MSG_FASTOPEN, raw, length), 2)
                          << std::strerror(errno);
                      by_connect = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                      const int on = 1;
                      EXPECT_EQ(setsockopt(by_connect.get(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on,
                                           sizeof(on)),
                                0);
                      EXPECT_EQ(connect(by_connect.get(), raw, length), 0);
                      EXPECT_EQ(send(by_connect.get(), "hi", 2, 0), 2);
                    })
                    .ok());
    for (int i = 0; i < 2; ++i) {
      auto original = AcceptAndTake(listener4_);
      ASSERT_TRUE(original.ok()) << original.status();
      EXPECT_EQ(original->destination.ToString(), kVip);
    }
  }
}

}  // namespace
}  // namespace tombolo::datapath
