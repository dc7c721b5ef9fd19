// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "net/pipe_pool.h"

namespace tombolo::net {

// Large buffers, and pipes, shared by the connections of one thread. A connection holds one
// only while bytes are in flight, so an idle connection holds none. Lives on
// one thread, and outlives every Lease.
class BufferPool {
 public:
  static constexpr std::size_t kBufferSize = 128 * 1024;
  static constexpr std::size_t kMaxFree = 64;  // 8 MiB kept for reuse per thread

  // Gives its buffer back when destroyed.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { Reset(); }
    void Reset();
    bool held() const { return data_ != nullptr; }
    absl::Span<std::uint8_t> span() { return {data_.get(), kBufferSize}; }

   private:
    friend class BufferPool;
    Lease(BufferPool* pool, std::unique_ptr<std::uint8_t[]> data)
        : pool_(pool), data_(std::move(data)) {}
    BufferPool* pool_ = nullptr;
    std::unique_ptr<std::uint8_t[]> data_;
  };

  explicit BufferPool(std::size_t max_pipes = PipePool::kMaxInUse, std::size_t pipe_size = 0)
      : pipes_(max_pipes, pipe_size) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  Lease Take();
  std::size_t in_use() const { return in_use_; }
  PipePool& pipes() { return pipes_; }

 private:
  PipePool pipes_;
  std::vector<std::unique_ptr<std::uint8_t[]>> free_;
  std::size_t in_use_ = 0;
};

}  // namespace tombolo::net
