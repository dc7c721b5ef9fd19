// SPDX-License-Identifier: Apache-2.0
#include "server/admission.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace tombolo::ca::https {
namespace {

// Whoever has one IPv6 address has the whole /64.
std::string HolderOf(const net::IpAddress& address) {
  if (address.is_v4()) return address.ToString();
  std::uint8_t network[16] = {};
  std::copy_n(address.bytes().begin(), 8, network);
  return net::Prefix{net::IpAddress::FromBytes(network), 64}.ToString();
}

}  // namespace

Admission::Slot::~Slot() {
  const std::lock_guard lock(admission_.mutex_);
  admission_.Release(holder_);
  if (stranger_) --admission_.strangers_;
  if (nameless_) --admission_.nameless_;
  --admission_.counters_.connections;
}

bool Admission::Slot::Identify(const SpiffeId& id) {
  const std::lock_guard lock(admission_.mutex_);
  if (!admission_.Take(id.text(), admission_.limits_.per_identity)) {
    ++admission_.counters_.refused_identity;
    return false;
  }
  admission_.Release(holder_);
  holder_ = id.text();
  --admission_.strangers_;
  stranger_ = false;
  return true;
}

bool Admission::Slot::StayNameless() {
  const std::lock_guard lock(admission_.mutex_);
  if (admission_.nameless_ >= admission_.limits_.nameless) {
    ++admission_.counters_.refused_nameless;
    return false;
  }
  ++admission_.nameless_;
  nameless_ = true;
  return true;
}

std::unique_ptr<Admission::Slot> Admission::Admit(const net::IpAddress& address) {
  std::string holder = HolderOf(address);
  const std::lock_guard lock(mutex_);
  if (counters_.connections >= limits_.connections) {
    ++counters_.refused_full;
    return nullptr;
  }
  if (strangers_ >= limits_.strangers) {
    ++counters_.refused_nameless;
    return nullptr;
  }
  if (!Take(holder, limits_.per_address)) {
    ++counters_.refused_address;
    return nullptr;
  }
  ++strangers_;
  ++counters_.connections;
  ++counters_.accepted;
  return std::unique_ptr<Slot>(new Slot(*this, std::move(holder)));
}

bool Admission::Take(const std::string& holder, int limit) {
  int& held = held_[holder];
  if (held >= limit) {
    if (held == 0) held_.erase(holder);
    return false;
  }
  ++held;
  return true;
}

void Admission::Release(const std::string& holder) {
  const auto found = held_.find(holder);
  if (--found->second == 0) held_.erase(found);
}

}  // namespace tombolo::ca::https
