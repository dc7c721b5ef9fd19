// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <random>

#include "base/time.h"

namespace tombolo {

// How long to wait after each of several failures: twice as long as before, and by chance
// up to a half less, so that those who have failed together do not come back together.
class Backoff {
 public:
  Backoff(Duration first, Duration most) : first_(first), most_(most), next_(first) {}

  Duration Next() {
    const Duration delay = next_;
    next_ = std::min(2 * next_, most_);
    const double share = std::uniform_real_distribution<double>(0.5, 1)(engine_);
    return std::chrono::duration_cast<Duration>(delay * share);
  }
  void Reset() { next_ = first_; }

 private:
  const Duration first_, most_;
  Duration next_;
  std::minstd_rand engine_{std::random_device{}()};
};

}  // namespace tombolo
