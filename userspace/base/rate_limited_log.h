// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "base/log.h"
#include "base/time.h"

namespace tombolo::log {

// How many lines of one kind may be written: a burst at once, then so many a second.
class LineBudget {
 public:
  static constexpr double kBurst = 50;
  static constexpr double kPerSecond = 5;

  explicit LineBudget(MonotonicTime now) : refilled_(now) {}

  // When a line may be written now: how many were left out since the last one.
  std::optional<std::uint64_t> Take(MonotonicTime now);

 private:
  double lines_ = kBurst;
  MonotonicTime refilled_;
  std::uint64_t suppressed_ = 0;
};

// Write() for what strangers and busy applications can cause any number of. Each
// `kind` of an event has a LineBudget in this process; the next line that is
// written says in the field "suppressed" how many were not. At level debug none is
// left out. `kind` comes from a fixed set, never from a peer. Any thread.
void WriteLimited(Level level, absl::string_view event, absl::string_view kind, Fields fields);

}  // namespace tombolo::log
