// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"

namespace tombolo::link {

// How many spares of one link to keep: twice as many as were taken in the busiest of the last ten
// seconds, and kLeast. Another spare takes two round trips to come, which is less than a second on
// any way that people use, so that they are refilled before they are used up as long as use does
// not double within that time. A plain value; times are given.
class Refill {
 public:
  static constexpr std::uint32_t kLeast = 4;
  static constexpr std::uint32_t kMost = 512;

  explicit Refill(std::uint32_t most) { SetMost(most); }

  // Wanted() is at most `most`, and kMost.
  void SetMost(std::uint32_t most) { most_ = most < kMost ? most : kMost; }
  void Took(MonotonicTime now);
  std::uint32_t Wanted(MonotonicTime now) const;
  std::uint32_t most() const { return most_; }

 private:
  static constexpr std::int64_t kSeconds = 10;
  struct Second {
    std::int64_t number = -1;  // of the monotonic clock
    std::uint32_t taken = 0;
  };
  std::uint32_t most_ = 0;
  std::array<Second, kSeconds> seconds_;  // the number modulo kSeconds is the place
};

}  // namespace tombolo::link
