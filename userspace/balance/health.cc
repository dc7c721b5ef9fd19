// SPDX-License-Identifier: Apache-2.0
#include "balance/health.h"

#include <algorithm>
#include <utility>

namespace tombolo::balance {
namespace {

constexpr double kColdest = 0.1;

}  // namespace

// A burst that was under way when it was ejected says nothing new, nor does what is sent
// there all the same because nothing else is left.
bool Health::Counts(MonotonicTime started, MonotonicTime now) const {
  if (ejected_at_ != MonotonicTime{} && started <= ejected_at_) return false;
  return !ejected() || OnTrial(now);
}

bool Health::OnFailure(MonotonicTime started, MonotonicTime now, bool can_eject) {
  if (!Counts(started, now)) return false;
  ++failures_;
  if (!ejected() && (failures_ < kFailuresToEject || !can_eject)) return false;
  EjectFrom(now);
  return true;
}

bool Health::Eject(MonotonicTime now) {
  if (ejected() && !OnTrial(now)) return false;
  EjectFrom(now);
  return true;
}

void Health::EjectFrom(MonotonicTime now) {
  ejected_at_ = now;
  ejected_until_ = now + next_ejection_;
  next_ejection_ = std::min(next_ejection_ * 2, kLongestEjection);
}

// Where servers never say anything, nothing else would ever tell today's from last week's.
void Health::ForgetOldResets(MonotonicTime now) {
  if (now > resets_count_until_) OnAnswer();
}

bool Health::OnSuccess(MonotonicTime now) {
  failures_ = 0;
  ForgetOldResets(now);
  if (resets_ == 0) next_ejection_ = kFirstEjection;
  if (!ejected()) return false;
  ejected_until_.reset();
  StartSlowly(now);
  return true;
}

bool Health::OnReset(MonotonicTime started, MonotonicTime now) {
  if (!Counts(started, now)) return false;
  ForgetOldResets(now);
  ++resets_;
  const bool ejects = resets_ >= kFailuresToEject;
  if (ejects) EjectFrom(now);
  resets_count_until_ = (ejects ? *ejected_until_ : now) + kLongestEjection;
  return ejects;
}

void Health::OnAnswer() {
  if (std::exchange(resets_, 0) > 0) next_ejection_ = kFirstEjection;
}

Duration Health::EjectedFor(MonotonicTime now) const {
  return ejected() ? std::max(*ejected_until_ - now, Duration{}) : Duration{};
}

double Health::Warmth(MonotonicTime now) const {
  if (now >= warm_at_) return 1.0;
  const double left = std::chrono::duration<double>(warm_at_ - now) / kSlowStart;
  return std::max(kColdest, 1.0 - left);
}

}  // namespace tombolo::balance
