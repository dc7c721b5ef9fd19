// SPDX-License-Identifier: Apache-2.0
#include "agent/quota.h"

#include "absl/strings/str_cat.h"

namespace tombolo::agent {

Quota::Share& Quota::Share::operator=(Share&& other) noexcept {
  if (this != &other) {
    GiveBack();
    quota_ = std::exchange(other.quota_, nullptr);
    holder_ = std::move(other.holder_);
  }
  return *this;
}

void Quota::Share::GiveBack() {
  if (quota_ == nullptr) return;
  const std::lock_guard lock(quota_->mutex_);
  const auto held = quota_->held_.find(holder_);
  if (--held->second == 0) quota_->held_.erase(held);
  quota_ = nullptr;
}

absl::StatusOr<Quota::Share> Quota::Take(const std::string& holder, std::uint32_t limit) {
  const std::lock_guard lock(mutex_);
  const auto held = held_.find(holder);
  if (held == held_.end()) {
    if (limit == 0) return absl::ResourceExhaustedError(absl::StrCat(holder, " may have none"));
    held_.emplace(holder, 1);
    return Share(this, holder);
  }
  if (held->second >= limit) {
    return absl::ResourceExhaustedError(absl::StrCat(holder, " has ", held->second, " already"));
  }
  ++held->second;
  return Share(this, holder);
}

}  // namespace tombolo::agent
