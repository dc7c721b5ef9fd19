// SPDX-License-Identifier: Apache-2.0
#include "balance/load.h"

#include <algorithm>
#include <cmath>

namespace tombolo::balance {
namespace {

using std::chrono::duration;

// Weight of the newest sample in a smoothed time.
constexpr double kNewest = 0.3;
// A latency that was not measured again loses half of its weight in this time,
// so that an endpoint which was slow once is tried again.
constexpr Duration kLatencyHalfLife = std::chrono::seconds(10);
// Differences below this, or below this ratio, are noise.
constexpr Duration kLatencyFloor = std::chrono::milliseconds(1);
constexpr double kLatencyRatio = 1.5;

Duration LatencyNow(const Load& load, MonotonicTime now) {
  const double half_lives = duration<double>(now - load.latency_at) / kLatencyHalfLife;
  const auto decayed = std::chrono::duration_cast<Duration>(duration<double>(*load.latency) *
                                                            std::exp2(-std::max(0.0, half_lives)));
  return std::max(decayed, kLatencyFloor);
}

// How many times slower `a` connects than `b`; 1 when that is unknown or noise.
double Slowness(const Load& a, const Load& b, MonotonicTime now) {
  if (!a.latency || !b.latency) return 1.0;
  const double ratio = duration<double>(LatencyNow(a, now)) / duration<double>(LatencyNow(b, now));
  return ratio > kLatencyRatio || ratio < 1 / kLatencyRatio ? ratio : 1.0;
}

}  // namespace

std::optional<Duration> Smooth(std::optional<Duration> smoothed, Duration sample) {
  if (!smoothed) return sample;
  return std::chrono::duration_cast<Duration>(duration<double>(*smoothed) * (1 - kNewest) +
                                              duration<double>(sample) * kNewest);
}

void Load::Add(Duration sample, MonotonicTime now) {
  latency = Smooth(latency, sample);
  latency_at = now;
}

bool Load::SecondIsBetter(const Load& first, double first_weight, const Load& second,
                          double second_weight, MonotonicTime now) {
  return second.PerWeight(second_weight) <
         first.PerWeight(first_weight) * Slowness(first, second, now);
}

}  // namespace tombolo::balance
