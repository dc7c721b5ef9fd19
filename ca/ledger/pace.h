// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include "base/time.h"

namespace tombolo::ca {

// When to make the next transaction, and how large a one, so that replicas that write the same head
// share it. Whoever has committed knows the new head first, and would win again: he lets the others
// go first for a while after he has met them. Whoever has lost tries again at once and with less,
// which is made sooner. Of one thread. Internal to ledger.
class Pace {
 public:
  static constexpr Duration kLongestFailure = std::chrono::milliseconds(200);
  static constexpr Duration kLongestLoss = std::chrono::milliseconds(8);
  static constexpr Duration kLongestYield = std::chrono::milliseconds(50);
  static constexpr int kYields = 16;
  static constexpr std::size_t kMost = 1 << 12;

  // `random` gives numbers of [0, 1), so that replicas do not keep step.
  using Random = std::function<double()>;
  explicit Pace(Random random) : random_(std::move(random)) {}

  // The head was moved by somebody else.
  void MetOthers() { yields_ = kYields; }

  // How long to wait: when the store has not taken a transaction or cannot be read; when somebody
  // else's was faster than one of so many operations; when it has been taken, which took so long.
  Duration AfterFailure();
  Duration AfterLoss(std::size_t operations);
  Duration AfterCommit(Duration took);

  // How many operations the next transaction should have.
  std::size_t most() const { return most_; }

 private:
  const Random random_;
  int failures_ = 0, losses_ = 0;  // in a row
  int yields_ = 0;                 // commits that are still to be followed by a pause
  std::size_t most_ = kMost;
};

}  // namespace tombolo::ca
