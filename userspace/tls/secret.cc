// SPDX-License-Identifier: Apache-2.0
#include "tls/secret.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include <openssl/crypto.h>

namespace tombolo::tls {
namespace {

constexpr std::size_t kArenaSize = 2 << 20;
constexpr std::size_t kArenaCell = 64;  // a power of two that holds kMaxSize
// OpenSSL keeps its own private keys in the arena and fails where it is full, so half
// of it stays free for those.
constexpr std::size_t kMaxInArena = kArenaSize / kArenaCell / 2;
std::atomic<std::size_t> in_arena{0};

void* AllocateInArena() {
  static const bool arena = CRYPTO_secure_malloc_init(kArenaSize, kArenaCell) != 0;
  if (!arena) return nullptr;
  void* memory = nullptr;
  if (in_arena.fetch_add(1, std::memory_order_relaxed) < kMaxInArena) {
    memory = OPENSSL_secure_malloc(Secret::kMaxSize);
  }
  if (memory == nullptr) in_arena.fetch_sub(1, std::memory_order_relaxed);
  return memory;
}

void* Allocate() {
  void* memory = AllocateInArena();
  if (memory == nullptr) memory = OPENSSL_malloc(Secret::kMaxSize);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

Secret::Secret(absl::Span<const std::uint8_t> bytes)
    : data_(static_cast<std::uint8_t*>(Allocate())), size_(std::min(bytes.size(), kMaxSize)) {
  std::memcpy(data_, bytes.data(), size_);
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Wipe();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void Secret::Wipe() {
  if (data_ != nullptr && CRYPTO_secure_allocated(data_) != 0) {
    in_arena.fetch_sub(1, std::memory_order_relaxed);
  }
  // Takes memory from either allocator.
  if (data_ != nullptr) OPENSSL_secure_clear_free(data_, kMaxSize);
  data_ = nullptr;
  size_ = 0;
}

}  // namespace tombolo::tls
