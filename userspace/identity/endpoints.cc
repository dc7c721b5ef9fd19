// SPDX-License-Identifier: Apache-2.0
#include "identity/endpoints.h"

#include <algorithm>

namespace tombolo::identity {

std::vector<std::size_t> Endpoints::Order(MonotonicTime now) const {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < rests_until_.size(); ++i) {
    const std::size_t index = (first_ + i) % rests_until_.size();
    if (rests_until_[index] <= now) order.push_back(index);
  }
  return order;
}

void Endpoints::Rest(std::size_t index, MonotonicTime now, Duration rest) {
  rests_until_[index] = now + std::min(rest, kMaxRest);
}

Duration Endpoints::RestOf(MonotonicTime now) const {
  const MonotonicTime first = *std::min_element(rests_until_.begin(), rests_until_.end());
  return first <= now ? Duration::zero() : first - now;
}

}  // namespace tombolo::identity
