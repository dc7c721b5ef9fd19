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
  admission_.Release(holder_);
  --admission_.counters_.connections;
}

bool Admission::Slot::Identify(const SpiffeId& id) {
  if (!admission_.Take(id.text(), admission_.limits_.per_identity)) {
    ++admission_.counters_.refused_identity;
    return false;
  }
  admission_.Release(holder_);
  holder_ = id.text();
  return true;
}

std::unique_ptr<Admission::Slot> Admission::Admit(const net::IpAddress& address) {
  if (++counters_.connections > limits_.connections) {
    --counters_.connections;
    ++counters_.refused_full;
    return nullptr;
  }
  std::string holder = HolderOf(address);
  if (!Take(holder, limits_.per_address)) {
    --counters_.connections;
    ++counters_.refused_address;
    return nullptr;
  }
  ++counters_.accepted;
  return std::unique_ptr<Slot>(new Slot(*this, std::move(holder)));
}

bool Admission::Take(const std::string& holder, int limit) {
  const std::lock_guard lock(mutex_);
  int& held = held_[holder];
  if (held >= limit) {
    if (held == 0) held_.erase(holder);
    return false;
  }
  ++held;
  return true;
}

void Admission::Release(const std::string& holder) {
  const std::lock_guard lock(mutex_);
  const auto found = held_.find(holder);
  if (--found->second == 0) held_.erase(found);
}

}  // namespace tombolo::ca::https
