// SPDX-License-Identifier: Apache-2.0
#include "agent/quota.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::agent {
namespace {

std::string HolderOf(const net::IpAddress& ip) {
  if (ip.is_v4()) return ip.ToString();
  std::uint8_t network[16] = {};
  std::copy_n(ip.bytes().begin(), 8, network);
  return net::Prefix{net::IpAddress::FromBytes(network), 64}.ToString();
}

}  // namespace

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

std::uint32_t Quota::held(const std::string& holder) {
  const std::lock_guard lock(mutex_);
  const auto held = held_.find(holder);
  return held == held_.end() ? 0 : held->second;
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

absl::StatusOr<AddressShare> TakeForAddress(Quota& quota, const net::IpAddress& address,
                                            const AddressLimits& limits) {
  const std::string holder = limits.holder.empty() ? HolderOf(address) : std::string(limits.holder);
  auto of_address = quota.Take(holder, limits.per_address);
  if (!of_address.ok()) {
    return Annotate(of_address.status(), absl::StrCat(limits.name, "_per_address"));
  }
  ASSIGN_OR_RETURN(AddressShare share, TakeOfAll(quota, limits));
  share.of_address = *std::move(of_address);
  return share;
}

absl::StatusOr<AddressShare> TakeOfAll(Quota& quota, const AddressLimits& limits) {
  auto of_all = quota.Take("this node", limits.all);
  if (!of_all.ok()) return Annotate(of_all.status(), limits.name);
  return AddressShare{*std::move(of_all), {}};
}

}  // namespace tombolo::agent
