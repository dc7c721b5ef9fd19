// SPDX-License-Identifier: Apache-2.0
#include "net/buffer_pool.h"

#include <utility>

namespace tombolo::net {

BufferPool::Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), data_(std::move(other.data_)) {}

BufferPool::Lease& BufferPool::Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    Reset();
    pool_ = std::exchange(other.pool_, nullptr);
    data_ = std::move(other.data_);
  }
  return *this;
}

void BufferPool::Lease::Reset() {
  if (data_ == nullptr) return;
  --pool_->in_use_;
  if (pool_->free_.size() < kMaxFree) {
    pool_->free_.push_back(std::move(data_));
  }
  data_.reset();
}

BufferPool::Lease BufferPool::Take() {
  ++in_use_;
  if (free_.empty()) {
    // Not value-initialised: every byte is written before it is read.
    return Lease(this, std::unique_ptr<std::uint8_t[]>(new std::uint8_t[kBufferSize]));
  }
  auto data = std::move(free_.back());
  free_.pop_back();
  return Lease(this, std::move(data));
}

}  // namespace tombolo::net
