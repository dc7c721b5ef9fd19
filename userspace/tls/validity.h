// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "base/time.h"

namespace tombolo::tls {

struct Validity {
  // Clocks differ: certificates begin to be valid a little before they are
  // made.
  static constexpr std::chrono::seconds kBackdate{30};
  static Validity FromNow(std::chrono::seconds ttl) {
    const WallTime now = std::chrono::system_clock::now();
    return {.not_before = now - kBackdate, .not_after = now + ttl};
  }

  WallTime not_before, not_after;
};

}  // namespace tombolo::tls
