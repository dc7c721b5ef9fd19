// SPDX-License-Identifier: Apache-2.0
#include "net/pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace tombolo::net {
namespace {

constexpr std::size_t kDefaultSize = 64 * 1024;  // pipe(7)

// splice(2), again when a signal came between.
ssize_t Splice(int from, int to, std::size_t size) {
  ssize_t moved;
  do {
    moved = splice(from, nullptr, to, nullptr, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  } while (moved < 0 && errno == EINTR);
  return moved;
}

}  // namespace

PipePool::Lease& PipePool::Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    Reset();
    pool_ = std::exchange(other.pool_, nullptr);
    pipe_ = std::move(other.pipe_);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void PipePool::Lease::Reset() {
  if (pool_ == nullptr) return;
  --pool_->in_use_;
  if (bytes_ == 0 && pool_->free_.size() < kMaxFree) pool_->free_.push_back(std::move(pipe_));
  pipe_ = {};
  bytes_ = 0;
  pool_ = nullptr;
}

ssize_t PipePool::Lease::FillFrom(int fd, std::size_t limit) {
  const ssize_t moved = Splice(fd, pipe_.write_end.get(), limit);
  if (moved > 0) bytes_ += static_cast<std::size_t>(moved);
  return moved;
}

ssize_t PipePool::Lease::DrainTo(int fd) {
  const ssize_t moved = Splice(pipe_.read_end.get(), fd, bytes_);
  if (moved > 0) bytes_ -= static_cast<std::size_t>(moved);
  return moved;
}

ssize_t PipePool::Lease::Read(void* buffer, std::size_t size) {
  ssize_t got;
  do {
    got = read(pipe_.read_end.get(), buffer, size);
  } while (got < 0 && errno == EINTR);
  if (got > 0) bytes_ -= static_cast<std::size_t>(got);
  return got;
}

// False: the user has so many pages that the kernel makes pipes smaller than its default.
bool PipePool::Enlarge(const Pipe& pipe, std::size_t size) {
  for (; size > kDefaultSize; size /= 2) {
    if (fcntl(pipe.write_end.get(), F_SETPIPE_SZ, static_cast<int>(size)) >= 0) return true;
  }
  return fcntl(pipe.write_end.get(), F_GETPIPE_SZ) >= static_cast<int>(kDefaultSize);
}

PipePool::Lease PipePool::Take() {
  if (in_use_ >= max_in_use_) return Lease();
  Pipe pipe;
  if (free_.empty()) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return Lease();
    pipe = {Fd(ends[0]), Fd(ends[1])};
    if (size_ != 0 && !Enlarge(pipe, size_)) return Lease();
  } else {
    pipe = std::move(free_.back());
    free_.pop_back();
  }
  ++in_use_;
  return Lease(this, std::move(pipe));
}

}  // namespace tombolo::net
