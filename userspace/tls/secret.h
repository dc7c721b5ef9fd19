// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/types/span.h"

namespace tombolo::tls {

// A traffic secret: lives in locked memory that no core dump contains, and is
// wiped when destroyed. The arena holds those of about 8000 tunnels beside OpenSSL's keys; past
// that, or where RLIMIT_MEMLOCK forbids it, the memory is ordinary and still wiped.
class Secret {
 public:
  static constexpr std::size_t kMaxSize = 48;  // SHA-384

  Secret() = default;
  // Copies at most kMaxSize bytes.
  explicit Secret(absl::Span<const std::uint8_t> bytes);
  Secret(Secret&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Secret& operator=(Secret&& other) noexcept;
  ~Secret() { Wipe(); }

  absl::Span<const std::uint8_t> bytes() const { return {data_, size_}; }
  bool empty() const { return size_ == 0; }

 private:
  void Wipe();

  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tombolo::tls
