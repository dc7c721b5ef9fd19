// SPDX-License-Identifier: Apache-2.0
#include "base/rate_limited_log.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace tombolo::log {
namespace {

std::optional<std::uint64_t> TakeFromBudget(absl::string_view event, absl::string_view kind) {
  static std::mutex mutex;
  static auto* const budgets = new absl::flat_hash_map<std::string, LineBudget>;
  const MonotonicTime now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex);
  return budgets->try_emplace(absl::StrCat(event, "\n", kind), now).first->second.Take(now);
}

}  // namespace

std::optional<std::uint64_t> LineBudget::Take(MonotonicTime now) {
  const std::chrono::duration<double> passed = now - refilled_;
  lines_ = std::min(kBurst, lines_ + passed.count() * kPerSecond);
  refilled_ = now;
  if (lines_ < 1) {
    ++suppressed_;
    return std::nullopt;
  }
  lines_ -= 1;
  return std::exchange(suppressed_, 0);
}

void WriteLimited(Level level, absl::string_view event, absl::string_view kind, Fields fields) {
  if (!Enabled(level)) return;
  if (Enabled(Level::kDebug)) return Write(level, event, fields);
  if (const auto suppressed = TakeFromBudget(event, kind)) {
    Write(level, event, fields, *suppressed);
  }
}

}  // namespace tombolo::log
