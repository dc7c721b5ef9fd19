// SPDX-License-Identifier: Apache-2.0
#include "net/pipe_pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fd.h"

namespace tombolo::net {
namespace {

constexpr ssize_t kDefault = 64 * 1024;
constexpr ssize_t kLarge = 256 * 1024;

// A file with as many bytes: splice takes it page by page.
Fd FileOf(ssize_t size) {
  Fd file(memfd_create("pipe_pool_test", MFD_CLOEXEC));
  EXPECT_EQ(ftruncate(file.get(), size), 0);
  return file;
}

ssize_t Filled(PipePool& pool) {
  const Fd file = FileOf(2 * kLarge);
  PipePool::Lease pipe = pool.Take();
  return pipe.held() ? pipe.FillFrom(file.get(), 2 * kLarge) : -1;
}

TEST(PipePoolTest, PipesHaveTheSizeThatIsAskedFor) {
  PipePool usual;
  EXPECT_EQ(Filled(usual), kDefault);
  PipePool large(PipePool::kMaxInUse, kLarge);
  EXPECT_EQ(Filled(large), kLarge);
}

TEST(PipePoolTest, HandsOutNoMoreThanItMay) {
  PipePool pool(2, kLarge);
  const PipePool::Lease one = pool.Take();
  {
    const PipePool::Lease two = pool.Take();
    EXPECT_TRUE(two.held());
    EXPECT_FALSE(pool.Take().held());
  }
  EXPECT_TRUE(pool.Take().held());
}

TEST(PipePoolTest, AnEmptyPipeIsKeptForTheNextAndAFullOneIsNot) {
  PipePool pool(1, kLarge);
  EXPECT_EQ(Filled(pool), kLarge);  // with bytes left in it
  EXPECT_EQ(pool.in_use(), 0U);
  EXPECT_EQ(Filled(pool), kLarge);  // an empty one
}

}  // namespace
}  // namespace tombolo::net
