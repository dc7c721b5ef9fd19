// SPDX-License-Identifier: Apache-2.0
#include "net/buffer_pool.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace tombolo::net {
namespace {

TEST(BufferPoolTest, GivesTheSameBufferAgain) {
  BufferPool pool;
  const void* first = nullptr;
  {
    auto lease = pool.Take();
    EXPECT_TRUE(lease.held());
    EXPECT_EQ(lease.span().size(), BufferPool::kBufferSize);
    EXPECT_EQ(pool.in_use(), 1u);
    first = lease.span().data();
  }
  EXPECT_EQ(pool.in_use(), 0u);
  EXPECT_EQ(pool.Take().span().data(), first);
}

TEST(BufferPoolTest, MovingALeaseKeepsTheCount) {
  BufferPool pool;
  auto a = pool.Take();
  auto b = pool.Take();
  EXPECT_NE(a.span().data(), b.span().data());
  a = std::move(b);
  EXPECT_TRUE(a.held());
  EXPECT_FALSE(b.held());  // NOLINT(bugprone-use-after-move): what it promises
  EXPECT_EQ(pool.in_use(), 1u);
  b.Reset();
  a.Reset();
  a.Reset();
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(BufferPoolTest, HandsOutMoreThanItKeeps) {
  BufferPool pool;
  std::vector<BufferPool::Lease> leases;
  for (std::size_t i = 0; i < BufferPool::kMaxFree + 3; ++i) leases.push_back(pool.Take());
  EXPECT_EQ(pool.in_use(), BufferPool::kMaxFree + 3);
  leases.clear();
  EXPECT_EQ(pool.in_use(), 0u);
}

}  // namespace
}  // namespace tombolo::net
