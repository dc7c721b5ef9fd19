// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "base/time.h"

namespace tombolo::identity {

// Which of several equal servers to ask: the one that answered last, then the others in turn;
// none that has asked to be left alone (Retry-After) until that time is over. A plain value.
class Endpoints {
 public:
  static constexpr Duration kMaxRest = std::chrono::minutes(5);

  explicit Endpoints(std::size_t count) : rests_until_(count, MonotonicTime::min()) {}

  // The indexes to try at `now`, in order. Empty when all of them rest.
  std::vector<std::size_t> Order(MonotonicTime now) const;

  void Answered(std::size_t index) { first_ = index; }
  // Is left out for `rest`, at most kMaxRest.
  void Rest(std::size_t index, MonotonicTime now, Duration rest);

  // How long until one may be asked; zero when one may be now.
  Duration RestOf(MonotonicTime now) const;

 private:
  std::size_t first_ = 0;
  std::vector<MonotonicTime> rests_until_;
};

}  // namespace tombolo::identity
