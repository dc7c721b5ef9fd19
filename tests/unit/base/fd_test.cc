// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include <fcntl.h>

#include <utility>

#include <gtest/gtest.h>

namespace tombolo {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(FdTest, ClosesWhenDestroyed) {
  int raw = -1;
  {
    const Fd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    raw = fd.get();
    EXPECT_TRUE(IsOpen(raw));
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST(FdTest, MoveTakesOverAndClosesWhatWasThere) {
  Fd first(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Fd second(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  const int kept = first.get();
  const int closed = second.get();
  second = std::move(first);
  EXPECT_EQ(second.get(), kept);
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): what it promises
  EXPECT_TRUE(IsOpen(kept));
  EXPECT_FALSE(IsOpen(closed));
}

TEST(FdTest, ReleaseGivesItAway) {
  Fd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int raw = fd.Release();
  EXPECT_FALSE(fd.valid());
  fd.Close();
  EXPECT_TRUE(IsOpen(raw));
  const Fd cleanup(raw);
}

}  // namespace
}  // namespace tombolo
