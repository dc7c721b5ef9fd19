// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace tombolo::net {

// Pipes for splice(2), shared by the connections of one thread. A connection holds one
// only while bytes are in it. Lives on one thread, and outlives every Lease.
class PipePool {
 public:
  // Two descriptors each: connections that find none left read and write instead.
  static constexpr std::size_t kMaxInUse = 64;
  static constexpr std::size_t kMaxFree = 16;

  struct Pipe {
    Fd read_end, write_end;
  };

  // Gives its pipe back when destroyed, unless bytes are left in it: then closes it.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)),
          pipe_(std::move(other.pipe_)),
          bytes_(std::exchange(other.bytes_, 0)) {}
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { Reset(); }
    void Reset();
    bool held() const { return pool_ != nullptr; }
    // Bytes in the pipe.
    std::size_t bytes() const { return bytes_; }

    // splice(2) without waiting, of at most `limit` bytes into the pipe, or of what is in
    // it. They return and set errno as that does. Writing raises SIGPIPE.
    ssize_t FillFrom(int fd, std::size_t limit);
    ssize_t DrainTo(int fd);
    // read(2) of what is in it.
    ssize_t Read(void* buffer, std::size_t size);

   private:
    friend class PipePool;
    Lease(PipePool* pool, Pipe pipe) : pool_(pool), pipe_(std::move(pipe)) {}
    PipePool* pool_ = nullptr;
    Pipe pipe_;
    std::size_t bytes_ = 0;
  };

  // A pipe has room for one fragment of a packet for each page of `size`, however small that is; 0:
  // the system's default. Without privileges all pipes of a user have fs.pipe-user-pages-soft pages
  // together: then they are smaller, as the rest allows.
  explicit PipePool(std::size_t max_in_use = kMaxInUse, std::size_t size = 0)
      : max_in_use_(max_in_use), size_(size) {}
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;
  // Not held when there are enough, no descriptors, or with a `size` less than the default left.
  Lease Take();
  std::size_t in_use() const { return in_use_; }

 private:
  static bool Enlarge(const Pipe& pipe, std::size_t size);

  const std::size_t max_in_use_, size_;
  std::vector<Pipe> free_;
  std::size_t in_use_ = 0;
};

}  // namespace tombolo::net
