// SPDX-License-Identifier: Apache-2.0
#include "balance/round_trip.h"

#include <algorithm>
#include <chrono>

#include "balance/load.h"

namespace tombolo::balance {
namespace {

// Smaller differences than both are noise.
constexpr Duration kNoise = std::chrono::milliseconds(2);
constexpr int kNoisePart = 5;                            // a fifth
constexpr Duration kAtLeast = std::chrono::seconds(10);  // between two settled values
constexpr Duration kOld = std::chrono::minutes(10);

}  // namespace

std::optional<Duration> RoundTrip::Settled(MonotonicTime now) const {
  if (!settled_ || now - measured_at_ >= kOld) return std::nullopt;
  return settled_;
}

bool RoundTrip::Add(Duration sample, MonotonicTime now) {
  const std::optional<Duration> before = Settled(now);
  smoothed_ = before ? Smooth(smoothed_, sample) : sample;
  measured_at_ = now;
  if (before) {
    const Duration off = std::chrono::abs(*smoothed_ - *before);
    if (off <= std::max(kNoise, *before / kNoisePart) || now - settled_at_ < kAtLeast) return false;
  }
  settled_ = smoothed_;
  settled_at_ = now;
  return true;
}

}  // namespace tombolo::balance
