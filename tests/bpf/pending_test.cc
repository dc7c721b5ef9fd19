// SPDX-License-Identifier: Apache-2.0
// Connections that the agent has not taken: counted, bounded, and forgotten when
// they close.
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include <bpf/bpf.h>

#include "fixture.h"
#include "net/socket.h"

namespace tombolo::datapath {
namespace {

TEST_F(DatapathTest, AnEntryIsTakenOnce) {
  const Attempt attempt = Connect(workload_, kVip);
  ASSERT_EQ(attempt.error, 0);
  EXPECT_EQ(Entries("tb_orig_dst"), 1u);
  ASSERT_TRUE(AcceptAndTake(listener4_).ok());
  EXPECT_EQ(Entries("tb_orig_dst"), 0u);
  auto again = datapath_->TakeOriginalDestination(sandbox_.netns_cookie, Address("127.0.0.1:1"),
                                                  Address("127.0.0.1:15001"));
  EXPECT_EQ(again.status().code(), absl::StatusCode::kNotFound) << again.status();
}

TEST_F(DatapathTest, AConnectionThatTheHookDidNotSendHasNoEntry) {
  const Attempt direct = Connect(workload_, "127.0.0.1:15001");
  ASSERT_EQ(direct.error, 0);
  EXPECT_EQ(AcceptAndTake(listener4_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(DatapathTest, ClosingForgetsTheEntryAndFreesTheQuota) {
  for (int round = 0; round < 3; ++round) {
    std::vector<Attempt> attempts;
    for (std::uint32_t i = 0; i < options_.max_pending_per_workload; ++i) {
      attempts.push_back(Connect(workload_, kVip));
      ASSERT_EQ(attempts.back().error, 0) << "round " << round << " attempt " << i;
    }
    EXPECT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
    EXPECT_EQ(Entries("tb_orig_dst"), options_.max_pending_per_workload);
    // Reset rather than FIN: a FIN-WAIT socket lives on until the agent closes.
    const linger hard{.l_onoff = 1, .l_linger = 0};
    for (const Attempt& attempt : attempts) {
      setsockopt(attempt.socket.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    }
    attempts.clear();
    EXPECT_EQ(Entries("tb_orig_dst"), 0u);
  }
  EXPECT_EQ(Count("refused_quota"), 3u);
  EXPECT_EQ(Count("pending_closed"), 12u);
}

// As loggers do: connect, write, close. The bytes wait in the listener's queue.
TEST_F(DatapathTest, AConnectionClosedInOrderKeepsItsEntryUntilItIsTaken) {
  Connect(workload_, kVip);
  EXPECT_EQ(Entries("tb_orig_dst"), 1u);
  EXPECT_TRUE(AcceptAndTake(listener4_).ok());
  EXPECT_EQ(Entries("tb_orig_dst"), 0u);
}

TEST_F(DatapathTest, ASweepForgetsWhatNobodyTakes) {
  Connect(workload_, kVip);
  datapath_->SweepPending();
  EXPECT_EQ(Entries("tb_orig_dst"), 1u);
  datapath_->SweepPending();
  EXPECT_EQ(Entries("tb_orig_dst"), 0u);
  std::vector<Attempt> attempts;  // and the quota is whole again
  for (std::uint32_t i = 0; i < options_.max_pending_per_workload; ++i) {
    attempts.push_back(Connect(workload_, kVip));
    EXPECT_EQ(attempts.back().error, 0) << i;
  }
}

TEST_F(DatapathTest, TakingFreesTheQuota) {
  std::vector<Attempt> attempts;
  for (int i = 0; i < 20; ++i) {
    attempts.push_back(Connect(workload_, kVip));
    ASSERT_EQ(attempts.back().error, 0) << i;
    ASSERT_TRUE(AcceptAndTake(listener4_).ok());
  }
  attempts.clear();  // must not count down a second time
  for (std::uint32_t i = 0; i < options_.max_pending_per_workload; ++i) {
    attempts.push_back(Connect(workload_, kVip));
    EXPECT_EQ(attempts.back().error, 0);
  }
  EXPECT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
}

TEST_F(DatapathTest, TheQuotaOfOneWorkloadLeavesOthersAlone) {
  desired_.workloads.push_back({stranger_.id(), false});
  desired_.allowed.push_back({stranger_.id(), 1});
  Apply();
  std::vector<Attempt> attempts;
  for (std::uint32_t i = 0; i < options_.max_pending_per_workload; ++i) {
    attempts.push_back(Connect(workload_, kVip));
  }
  EXPECT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
  EXPECT_EQ(ConnectError(stranger_, kVip), 0);
}

TEST_F(DatapathTest, AFullMapLeavesNoEntryAndIsCounted) {
  datapath_.reset();
  ASSERT_TRUE(Datapath::Remove(options_.bpffs, options_.instance).ok());
  options_.max_pending = 2;
  Open();
  Apply();
  ASSERT_TRUE(datapath_->MarkListener(listener4_.get()).ok());
  std::vector<Attempt> attempts;
  for (int i = 0; i < 3; ++i) attempts.push_back(Connect(workload_, kVip));
  EXPECT_EQ(Count("pending_failed"), 1u);
  EXPECT_TRUE(AcceptAndTake(listener4_).ok());
  EXPECT_TRUE(AcceptAndTake(listener4_).ok());
  EXPECT_EQ(AcceptAndTake(listener4_).status().code(), absl::StatusCode::kNotFound);
}

// A connection that was closed in order leaves its entry to the agent that accepts it. When
// that died first, the next socket with the same 4-tuple is somebody else's.
TEST_F(DatapathTest, AStrangerDoesNotInheritAnEntry) {
  Attempt attempt = Connect(workload_, kVip);
  ASSERT_EQ(attempt.error, 0);
  const net::SocketAddress port = *net::LocalAddress(attempt.socket.get());
  attempt.socket.Close();
  listener4_.Close();
  listener6_.Close();
  ASSERT_EQ(Entries("tb_orig_dst"), 1u);
  Listen();
  Fd direct;
  ASSERT_TRUE(stranger_
                  .Run([&] {
                    const net::SocketAddress listener = Address("127.0.0.1:15001");
                    sockaddr_storage from{}, to{};
                    const socklen_t from_size = port.ToSockaddr(from);
                    const socklen_t to_size = listener.ToSockaddr(to);
                    direct = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                    const int one = 1;
                    setsockopt(direct.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
                    ASSERT_EQ(bind(direct.get(), reinterpret_cast<sockaddr*>(&from), from_size), 0)
                        << errno;
                    ASSERT_EQ(connect(direct.get(), reinterpret_cast<sockaddr*>(&to), to_size), 0)
                        << errno;
                  })
                  .ok());
  EXPECT_EQ(Entries("tb_orig_dst"), 0u);
  EXPECT_EQ(AcceptAndTake(listener4_).status().code(), absl::StatusCode::kNotFound);
}

// The application closes (with RST) while the agent takes: each entry is counted
// down once, by whoever deleted it.
TEST_F(DatapathTest, RacingCloseAndTakeLeaveNothing) {
  const pid_t application = fork();
  ASSERT_GE(application, 0);
  if (application == 0) {
    (void)workload_.Run([] {
      const net::SocketAddress vip = Address(kVip);
      sockaddr_storage storage{};
      const socklen_t length = vip.ToSockaddr(storage);
      const linger hard{.l_onoff = 1, .l_linger = 0};
      for (int i = 0; i < 200; ++i) {
        const Fd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        setsockopt(tcp.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        (void)connect(tcp.get(), reinterpret_cast<const sockaddr*>(&storage), length);
      }
    });
    _exit(0);  // past the fixture's destructors: they are the parent's
  }
  int taken = 0;
  while (waitpid(application, nullptr, WNOHANG) == 0) {
    pollfd ready{.fd = listener4_.get(), .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, /*timeout_ms=*/10) == 1) taken += AcceptAndTake(listener4_).ok();
  }
  EXPECT_EQ(Count("captured"), taken + Count("pending_closed"));
  EXPECT_EQ(Entries("tb_orig_dst"), 0u);
  const Fd pending(bpf_obj_get((options_.bpffs + "/tombolo/test/maps/tb_pending").c_str()));
  for (std::uint32_t slot = 0; slot < options_.max_workloads; ++slot) {
    std::int64_t value = -1;
    ASSERT_EQ(bpf_map_lookup_elem(pending.get(), &slot, &value), 0);
    EXPECT_EQ(value, 0) << "slot " << slot;
  }
}

}  // namespace
}  // namespace tombolo::datapath
