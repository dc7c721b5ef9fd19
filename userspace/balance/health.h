// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>

#include "base/time.h"

namespace tombolo::balance {

inline constexpr int kFailuresToEject = 5;  // in a row
inline constexpr Duration kFirstEjection = std::chrono::seconds(1);
inline constexpr Duration kLongestEjection = std::chrono::seconds(60);
// How long something that is new or back takes to get its full share.
inline constexpr Duration kSlowStart = std::chrono::seconds(10);

// Whether one thing (an endpoint, the way to a node or gateway, a cluster) is in use, by
// the failures in a row that it has had. One that is ejected does not come back by
// itself: when its time is over, it is on trial, and a trial decides. One thread.
class Health {
 public:
  // A try that began at `started` has failed. After kFailuresToEject in a row it is ejected for
  // kFirstEjection; each trial that fails doubles that, up to kLongestEjection. `can_eject`:
  // false counts only. True: it is ejected now, for the first time or again.
  bool OnFailure(MonotonicTime started, MonotonicTime now, bool can_eject = true);
  // It is known to be dead: as after kFailuresToEject.
  bool Eject(MonotonicTime now);
  // Forgets all failures; what was ejected starts slowly. True: it was ejected.
  bool OnSuccess(MonotonicTime now);
  // What it took, begun at `started`, it has reset before its first byte. As a failure, but taking
  // another does not undo it: OnAnswer() does, or none for kLongestEjection in which it could be
  // used. True: it is ejected now.
  bool OnReset(MonotonicTime started, MonotonicTime now);
  // Something that it took has been answered.
  void OnAnswer();
  // It is new, and gets its full share after kSlowStart.
  void StartSlowly(MonotonicTime now) { warm_at_ = now + kSlowStart; }

  bool ejected() const { return ejected_until_.has_value(); }
  // Of one that is ejected: when a trial may begin.
  MonotonicTime ejected_until() const { return *ejected_until_; }
  // What is left of its time; zero: in use, or on trial.
  Duration EjectedFor(MonotonicTime now) const;
  bool OnTrial(MonotonicTime now) const { return ejected() && now >= *ejected_until_; }
  // On trial, and no trial is under way.
  bool WantsTrial(MonotonicTime now) const { return OnTrial(now) && trials_ == 0; }
  void BeginTrial() { ++trials_; }
  void EndTrial() { --trials_; }

  // The part of its share that it gets now: kColdest up to 1.
  double Warmth(MonotonicTime now) const;

 private:
  // Whether what was begun at `started` says anything new.
  bool Counts(MonotonicTime started, MonotonicTime now) const;
  void EjectFrom(MonotonicTime now);
  void ForgetOldResets(MonotonicTime now);

  int failures_ = 0;  // in a row
  int resets_ = 0;    // of these, too, without an answer in between
  MonotonicTime resets_count_until_{};
  int trials_ = 0;  // under way
  Duration next_ejection_ = kFirstEjection;
  MonotonicTime ejected_at_{};
  std::optional<MonotonicTime> ejected_until_;
  MonotonicTime warm_at_{};
};

}  // namespace tombolo::balance
