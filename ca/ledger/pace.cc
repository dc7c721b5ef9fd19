// SPDX-License-Identifier: Apache-2.0
#include "ledger/pace.h"

#include <algorithm>
#include <chrono>

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;

constexpr int kMostDoublings = 10;

Duration Share(Duration whole, double share) {
  return std::chrono::duration_cast<Duration>(whole * share);
}

}  // namespace

Duration Pace::AfterFailure() {
  const Duration longest =
      std::min<Duration>(kLongestFailure, milliseconds(2 << std::min(failures_++, kMostDoublings)));
  return longest / 2 + Share(longest / 2, random_());
}

Duration Pace::AfterLoss(std::size_t operations) {
  MetOthers();
  most_ = std::max<std::size_t>(1, operations / 2);
  if (losses_++ == 0) return Duration::zero();
  const Duration longest =
      std::min<Duration>(kLongestLoss, milliseconds(1 << std::min(losses_ - 2, kMostDoublings)));
  return Share(longest, random_());
}

// As long as a transaction on average: about one of another's fits in.
Duration Pace::AfterCommit(Duration took) {
  failures_ = losses_ = 0;
  most_ = std::min(kMost, 2 * most_);
  if (yields_ == 0) return Duration::zero();
  --yields_;
  return Share(std::min(kLongestYield, 2 * took), random_());
}

}  // namespace tombolo::ca
