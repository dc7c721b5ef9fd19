// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace tombolo {

// Deadlines are points of the monotonic clock; wall-clock time is for
// certificates and logs only.
using MonotonicTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;
using WallTime = std::chrono::system_clock::time_point;

inline constexpr MonotonicTime kNoDeadline = MonotonicTime::max();

inline MonotonicTime After(Duration delay) { return std::chrono::steady_clock::now() + delay; }

}  // namespace tombolo
