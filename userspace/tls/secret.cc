// SPDX-License-Identifier: Apache-2.0
#include "tls/secret.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <openssl/crypto.h>

namespace tombolo::tls {
namespace {

constexpr std::size_t kArenaSize = 1 << 20;
constexpr std::size_t kArenaCell = 64;  // a power of two that holds kMaxSize

void* Allocate() {
  static const bool arena = CRYPTO_secure_malloc_init(kArenaSize, kArenaCell) != 0;
  void* memory = arena ? OPENSSL_secure_malloc(Secret::kMaxSize) : nullptr;
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
  // Takes memory from either allocator.
  if (data_ != nullptr) OPENSSL_secure_clear_free(data_, kMaxSize);
  data_ = nullptr;
  size_ = 0;
}

}  // namespace tombolo::tls
