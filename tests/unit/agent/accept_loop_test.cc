// SPDX-License-Identifier: Apache-2.0
// Accepting while descriptors are out.
#include "agent/accept_loop.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/task_group.h"
#include "net/socket.h"
#include "unit/tls/loop.h"

namespace tombolo::agent {
namespace {

// UndefinedBehaviorSanitizer needs descriptors to look at a vptr, and reports an error
// without.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// Takes every descriptor of this process while it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = 200;
    setrlimit(RLIMIT_NOFILE, &low);
    for (;;) {
      Fd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!fd.valid()) break;
      taken_.push_back(std::move(fd));
    }
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
  std::vector<Fd> taken_;
};

class AcceptLoopTest : public ::testing::Test {
 protected:
  AcceptLoopTest() {
    Fd fd = *net::Listen(*net::SocketAddress::Parse("127.0.0.1:0"), 16);
    address_ = *net::LocalAddress(fd.get());
    listener_ = std::make_shared<net::AsyncFd>(loop_.Adopt(std::move(fd)));
    for (Fd& client : clients_) client = *net::TcpSocket(address_);
    AcceptedBy by;
    by.serve = [this](net::Accepted connection) {
      served_.push_back(std::move(connection.socket));
    };
    by.refuse = [this](Fd connection, absl::Status why) {
      EXPECT_TRUE(connection.valid());
      net::ResetOnClose(connection.get());
      why_ = std::move(why);
      ++refused_;
      if (steal_) stolen_ = std::move(connection);
    };
    tasks_.Spawn(AcceptAll(listener_, reserve_, std::move(by)));
    loop_.Settle();
  }
  ~AcceptLoopTest() override {
    listener_->Close();
    loop_.Run(tasks_.CancelAndJoin());
  }

  void Connect(const Fd& client) {
    sockaddr_storage storage;
    const socklen_t size = address_.ToSockaddr(storage);
    (void)connect(client.get(), reinterpret_cast<sockaddr*>(&storage), size);
  }
  // What a client reads: the errno, or 0 at the end of the stream.
  static int ReadError(const Fd& client) {
    char byte;
    return recv(client.get(), &byte, 1, MSG_DONTWAIT) < 0 ? errno : 0;
  }

  testing::Loop loop_;
  net::SocketAddress address_;
  std::shared_ptr<net::AsyncFd> listener_;
  Fd clients_[4];  // made while there are descriptors
  ReserveDescriptor reserve_;
  std::vector<Fd> served_;
  int refused_ = 0;
  absl::Status why_;
  bool steal_ = false;  // the reserve, as a thread may that is quicker
  Fd stolen_;
  TaskGroup tasks_{loop_.poller().io().get_executor()};
};

TEST_F(AcceptLoopTest, WithoutDescriptorsConnectionsAreResetAtOnceAndLaterServedAgain) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs descriptors of its own";
  {
    const NoDescriptors none;
    for (const int i : {0, 1, 2}) Connect(clients_[i]);
    ASSERT_TRUE(loop_.RunUntil([&] { return refused_ == 3; }));
    EXPECT_TRUE(OutOfDescriptors(why_)) << why_;
    for (const int i : {0, 1, 2}) EXPECT_EQ(ReadError(clients_[i]), ECONNRESET);
  }
  Connect(clients_[3]);
  ASSERT_TRUE(loop_.RunUntil([&] { return served_.size() == 1; }));
  EXPECT_EQ(refused_, 3);
}

TEST_F(AcceptLoopTest, WaitsWhileNobodyConnects) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs descriptors of its own";
  const NoDescriptors none;
  Connect(clients_[0]);
  ASSERT_TRUE(loop_.RunUntil([&] { return refused_ == 1; }));
  rusage before{}, after{};
  getrusage(RUSAGE_THREAD, &before);
  const auto begun = std::chrono::steady_clock::now();
  loop_.Settle(std::chrono::milliseconds(300));
  getrusage(RUSAGE_THREAD, &after);
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(300));
  const auto used = after.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_utime.tv_usec -
                    before.ru_stime.tv_usec;
  EXPECT_LT(used, 150'000) << "microseconds of 300,000: it spins";
  EXPECT_FALSE(listener_->readable());
}

TEST_F(AcceptLoopTest, WithoutTheReserveConnectionsWaitForADescriptor) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs descriptors of its own";
  steal_ = true;
  {
    const NoDescriptors none;
    Connect(clients_[0]);
    ASSERT_TRUE(loop_.RunUntil([&] { return refused_ == 1; }));
    Connect(clients_[1]);
    loop_.Settle(std::chrono::milliseconds(120));
    EXPECT_EQ(refused_, 1);
    EXPECT_TRUE(served_.empty());
  }
  EXPECT_TRUE(loop_.RunUntil([&] { return served_.size() == 1; }));
}

// The reserve that one thread gives up may be what another one's accept() finds.
TEST_F(AcceptLoopTest, AnAcceptedConnectionGivesTheReserveBack) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs descriptors of its own";
  steal_ = true;
  const NoDescriptors none;
  Connect(clients_[0]);
  ASSERT_TRUE(loop_.RunUntil([&] { return refused_ == 1; }));
  steal_ = false;
  stolen_.Close();  // one descriptor is free, and no reserve is kept
  Connect(clients_[1]);
  ASSERT_TRUE(loop_.RunUntil([&] { return refused_ == 2; }));
  EXPECT_TRUE(served_.empty());
  EXPECT_TRUE(reserve_.Keep());
}

}  // namespace
}  // namespace tombolo::agent
