// SPDX-License-Identifier: Apache-2.0
#include "link/refill.h"

#include <algorithm>

namespace tombolo::link {
namespace {

std::int64_t NumberOf(MonotonicTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

void Refill::Took(MonotonicTime now) {
  const std::int64_t number = NumberOf(now);
  Second& second = seconds_[static_cast<std::size_t>(number % kSeconds)];
  if (second.number != number) second = {.number = number};
  ++second.taken;
}

std::uint32_t Refill::Wanted(MonotonicTime now) const {
  const std::int64_t oldest = NumberOf(now) - kSeconds;
  std::uint32_t busiest = 0;
  for (const Second& second : seconds_) {
    if (second.number > oldest) busiest = std::max(busiest, second.taken);
  }
  return std::min(most_, kLeast + 2 * std::min(busiest, kMost));
}

}  // namespace tombolo::link
