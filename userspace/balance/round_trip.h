// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/time.h"

namespace tombolo::balance {

// How far away a cluster is. What is decided by it is slow to change: a value is settled, and
// stays until the smoothed one is clearly another, so that noise moves nobody.
class RoundTrip {
 public:
  // True: Settled() has changed.
  bool Add(Duration sample, MonotonicTime now);
  // None: never measured, or not for so long that it may be anything.
  std::optional<Duration> Settled(MonotonicTime now) const;
  std::optional<Duration> smoothed() const { return smoothed_; }

 private:
  std::optional<Duration> smoothed_;
  std::optional<Duration> settled_;
  MonotonicTime settled_at_{};
  MonotonicTime measured_at_{};
};

}  // namespace tombolo::balance
