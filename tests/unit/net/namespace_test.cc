// SPDX-License-Identifier: Apache-2.0
#include "net/namespace.h"

#include <sched.h>
#include <unistd.h>

#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "net/socket.h"
#include "testing/skip.h"

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

TEST(NetworkNamespaceTest, EachHasItsOwnCookie) {
  const auto home = NetworkNamespace::OfThisThread();
  TOMBOLO_SKIP_UNLESS_OK(home.status());
  EXPECT_NE(home->cookie(), 0u);
  EXPECT_EQ(NetworkNamespace::OfThisThread()->cookie(), home->cookie());
  const bool made = InNewNamespace([&] {
    const auto other = NetworkNamespace::OfThisThread();
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_NE(other->cookie(), home->cookie());
  });
  if (!made) TOMBOLO_SKIP_WITHOUT("CAP_SYS_ADMIN");
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
  if (!made) TOMBOLO_SKIP_WITHOUT("CAP_SYS_ADMIN");
}

TEST(NetworkNamespaceTest, SaysWhatIsWrongWithAPath) {
  const auto missing = NetworkNamespace::Open("/run/netns/no-such-namespace");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find("'/run/netns/no-such-namespace'"), std::string::npos);
  EXPECT_FALSE(NetworkNamespace::Open("/dev/null").ok());
}

}  // namespace
}  // namespace tombolo::net
