// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/time.h"

namespace tombolo::balance {

// How busy one endpoint, or the way to one, is, and how fast it answers.
struct Load {
  std::uint32_t in_flight = 0;
  std::optional<Duration> latency;  // of connecting, smoothed
  MonotonicTime latency_at{};

  void Add(Duration sample, MonotonicTime now);
  // 1 when idle, so that the order of the draws (which is by weight) decides between idle ones.
  double PerWeight(double weight) const {
    return weight == 0 ? 1.0 : 1.0 + static_cast<double>(in_flight) / weight;
  }
  // Whether the second of two draws is the better one.
  static bool SecondIsBetter(const Load& first, double first_weight, const Load& second,
                             double second_weight, MonotonicTime now);
};

// `smoothed`, with a newer sample in it.
std::optional<Duration> Smooth(std::optional<Duration> smoothed, Duration sample);

}  // namespace tombolo::balance
