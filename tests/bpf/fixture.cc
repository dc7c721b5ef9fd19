// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "net/socket.h"

namespace tombolo::datapath {

net::SocketAddress Address(const std::string& text) {
  auto address = net::SocketAddress::Parse(text);
  EXPECT_TRUE(address.ok()) << address.status();
  return address.value_or(net::SocketAddress{});
}

Fd ListenOn(const std::string& address) {
  auto listener = net::Listen(Address(address), /*backlog=*/64);
  EXPECT_TRUE(listener.ok()) << listener.status();
  return listener.ok() ? *std::move(listener) : Fd();
}

std::string PeerOf(const Fd& socket) {
  auto peer = net::PeerAddress(socket.get());
  return peer.ok() ? peer->ToString() : peer.status().ToString();
}

void DatapathTest::SetUp() {
  auto sandbox = test::EnterSandbox();
  TOMBOLO_SKIP_UNLESS_OK(sandbox.status());
  sandbox_ = *sandbox;
  auto root = test::Cgroup::Create("bpf");
  TOMBOLO_SKIP_UNLESS_OK(root.status());
  root_ = *std::move(root);
  for (auto [cgroup, name] : {std::pair(&workload_, "workload"), std::pair(&stranger_, "stranger"),
                              std::pair(&agent_, "agent")}) {
    auto child = root_.Child(name);
    ASSERT_TRUE(child.ok()) << child.status();
    *cgroup = *std::move(child);
  }
  options_.instance = "test";
  options_.cgroup_path = root_.path();
  options_.bpffs = sandbox_.bpffs;
  options_.listener_port = kListenerPort;
  options_.max_services = 8;
  options_.max_workloads = 8;
  options_.max_allowed = 64;
  options_.max_pending = 64;
  options_.max_pending_per_workload = 4;
  desired_.services = {{Address(kVip), 1}, {Address(kVip6), 1}};
  desired_.workloads = {{workload_.id(), false}, {agent_.id(), true}};
  desired_.allowed = {{workload_.id(), 1}};
  Open();
  Apply();
  Listen();
}

void DatapathTest::TearDown() {
  datapath_.reset();
  if (options_.cgroup_path.empty()) return;  // skipped
  EXPECT_TRUE(Datapath::Remove(options_.bpffs, options_.instance).ok());
}

void DatapathTest::Open() {
  auto datapath = Datapath::Open(options_);
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  datapath_ = *std::move(datapath);
}

void DatapathTest::Apply() {
  ASSERT_NE(datapath_, nullptr);
  const absl::Status status = datapath_->Apply(desired_);
  ASSERT_TRUE(status.ok()) << status;
}

void DatapathTest::Listen() {
  ASSERT_NE(datapath_, nullptr);
  listener4_ = ListenOn(absl::StrCat("127.0.0.1:", kListenerPort));
  listener6_ = ListenOn(absl::StrCat("[::1]:", kListenerPort));
  for (const Fd* listener : {&listener4_, &listener6_}) {
    const absl::Status status = datapath_->MarkListener(listener->get());
    ASSERT_TRUE(status.ok()) << status;
  }
}

Attempt DatapathTest::Connect(const test::Cgroup& from, const std::string& to, Via via, int flags) {
  const net::SocketAddress address = Address(to);
  sockaddr_storage storage{};
  socklen_t length = address.ToSockaddr(storage);
  if (via == Via::kMapped) {
    sockaddr_in6 mapped{};
    mapped.sin6_family = AF_INET6;
    mapped.sin6_port = htons(address.port);
    std::copy(address.ip.bytes().begin(), address.ip.bytes().end(), mapped.sin6_addr.s6_addr);
    storage = {};
    *reinterpret_cast<sockaddr_in6*>(&storage) = mapped;
    length = sizeof(mapped);
  }
  Attempt attempt;
  const absl::Status status = from.Run([&] {
    attempt.socket = Fd(socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
    const auto* raw = reinterpret_cast<const sockaddr*>(&storage);
    attempt.error = connect(attempt.socket.get(), raw, length) == 0 ? 0 : errno;
  });
  EXPECT_TRUE(status.ok()) << status;
  return attempt;
}

int DatapathTest::ConnectError(const test::Cgroup& from, const std::string& to, Via via) {
  return Connect(from, to, via).error;
}

absl::StatusOr<OriginalDestination> DatapathTest::AcceptAndTake(const Fd& listener) {
  pollfd ready{.fd = listener.get(), .events = POLLIN, .revents = 0};
  if (poll(&ready, 1, /*timeout_ms=*/2000) != 1) return absl::DeadlineExceededError("accept");
  const Fd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  auto client = net::PeerAddress(accepted.get());
  auto local = net::LocalAddress(accepted.get());
  if (!client.ok()) return client.status();
  if (!local.ok()) return local.status();
  return datapath_->TakeOriginalDestination(sandbox_.netns_cookie, *client, *local);
}

std::uint64_t DatapathTest::Count(const std::string& counter) const {
  for (const Counter& entry : datapath_->ReadCounters()) {
    if (entry.name == counter) return entry.value;
  }
  ADD_FAILURE() << "no counter '" << counter << "'";
  return 0;
}

std::uint32_t DatapathTest::Entries(const std::string& map) const {
  for (const MapInfo& info : datapath_->ReadMaps()) {
    if (info.name == map) return info.entries;
  }
  ADD_FAILURE() << "no map '" << map << "'";
  return 0;
}

}  // namespace tombolo::datapath
