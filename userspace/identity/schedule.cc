// SPDX-License-Identifier: Apache-2.0
#include "identity/schedule.h"

#include <algorithm>
#include <cmath>

namespace tombolo::identity {
namespace {

constexpr double kRenewalJitter = 0.1;
constexpr double kRetryJitter = 0.25;
constexpr unsigned kMaxDoublings = 20;

template <typename Length>
Length Scale(Length length, double factor) {
  return Length(std::llround(static_cast<double>(length.count()) * factor));
}

}  // namespace

WallTime RenewAt(WallTime obtained, WallTime not_after, double jitter) {
  const auto life = std::max(not_after - obtained, WallTime::duration::zero());
  return obtained + Scale(life, 0.5 + kRenewalJitter * jitter);
}

Duration RetryAfter(const Pace& pace, unsigned failures, Duration rest, Duration left,
                    double jitter) {
  const unsigned doublings = std::min(failures == 0 ? 0 : failures - 1, kMaxDoublings);
  const Duration backoff = std::min(pace.max_retry, pace.first_retry * (1 << doublings));
  Duration wait = Scale(backoff, 1 + kRetryJitter * jitter);
  // What has been asked for may be exceeded, by everybody a little differently.
  if (rest > wait) wait = Scale(rest, 1 + kRetryJitter * std::abs(jitter));
  // Many were issued, and so expire, together.
  if (left > Duration::zero()) {
    wait = std::min(wait, Scale(left / 4, 1 - kRetryJitter * std::abs(jitter)));
  }
  return std::max(wait, pace.min_retry);
}

Duration LookAfter(Duration hint, Duration most, double jitter) {
  const Duration wait = hint > Duration::zero() ? std::min(hint, most) : most;
  return Scale(wait, 1 - kRetryJitter * std::abs(jitter));
}

bool ExpiresSoon(WallTime obtained, WallTime not_after, WallTime now) {
  return not_after - now < (not_after - obtained) / 4;
}

}  // namespace tombolo::identity
