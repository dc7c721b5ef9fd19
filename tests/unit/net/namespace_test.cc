// SPDX-License-Identifier: Apache-2.0
#include "net/namespace.h"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "net/socket.h"

namespace tombolo::net {
namespace {

// Runs `body` on a thread of its own inside a new network namespace; false when
// this process may not make one.
template <typename Body>
bool InNewNamespace(const Body& body) {
  bool made = false;
  std::thread([&] {
    made = unshare(CLONE_NEWNET) == 0;
    if (made) body();
  }).join();
  return made;
}

#define SKIP_WITHOUT_CAPABILITY(made)                                                           \
  if (!(made)) {                                                                                \
    ASSERT_EQ(std::getenv("TOMBOLO_NO_SKIP"), nullptr) << "needs the capability CAP_SYS_ADMIN"; \
    GTEST_SKIP() << "needs the capability CAP_SYS_ADMIN: " << std::strerror(errno);             \
  }

TEST(NetworkNamespaceTest, EachHasItsOwnCookie) {
  const auto home = NetworkNamespace::OfThisThread();
  SKIP_WITHOUT_CAPABILITY(home.ok());
  EXPECT_NE(home->cookie(), 0u);
  EXPECT_EQ(NetworkNamespace::OfThisThread()->cookie(), home->cookie());
  const bool made = InNewNamespace([&] {
    const auto other = NetworkNamespace::OfThisThread();
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_NE(other->cookie(), home->cookie());
  });
  SKIP_WITHOUT_CAPABILITY(made);
}

TEST(NetworkNamespaceTest, RunsInsideAndComesBack) {
  const bool made = InNewNamespace([] {
    const auto here = NetworkNamespace::OfThisThread();
    const auto init = NetworkNamespace::Open(absl::StrCat("/proc/", getpid(), "/ns/net"));
    ASSERT_TRUE(init.ok()) << init.status();
    ASSERT_NE(init->cookie(), here->cookie());
    std::uint64_t inside = 0;
    const absl::Status status = init->Run([&] {
      inside = NetworkNamespace::OfThisThread()->cookie();
      return absl::NotFoundError("the body's own status");
    });
    EXPECT_EQ(status.message(), "the body's own status");
    EXPECT_EQ(inside, init->cookie());
    EXPECT_EQ(NetworkNamespace::OfThisThread()->cookie(), here->cookie());
  });
  SKIP_WITHOUT_CAPABILITY(made);
}

TEST(NetworkNamespaceTest, SaysWhatIsWrongWithAPath) {
  const auto missing = NetworkNamespace::Open("/run/netns/no-such-namespace");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find("'/run/netns/no-such-namespace'"), std::string::npos);
  EXPECT_FALSE(NetworkNamespace::Open("/dev/null").ok());
}

}  // namespace
}  // namespace tombolo::net
