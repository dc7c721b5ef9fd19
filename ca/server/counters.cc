// SPDX-License-Identifier: Apache-2.0
#include "server/counters.h"

#include <algorithm>
#include <chrono>

namespace tombolo::ca {

void ServerCounters::Times::Record(Duration time) {
  const double seconds = std::chrono::duration<double>(time).count();
  const auto* bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++buckets[static_cast<std::size_t>(bound - kBounds.begin())];
  microseconds += static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

void ServerCounters::AddRequest(std::size_t target, unsigned status) {
  const auto* found = std::find(kStatuses.begin(), kStatuses.end(), status);
  if (found == kStatuses.end()) found = std::find(kStatuses.begin(), kStatuses.end(), 500U);
  ++requests[std::min(target, kTargets - 1)][static_cast<std::size_t>(found - kStatuses.begin())];
}

void ServerCounters::AddFailure(tls::HandshakeFailure failure) {
  ++handshakes_failed[std::min(static_cast<std::size_t>(failure), kFailures - 1)];
}

absl::string_view ServerCounters::TargetName(std::size_t target) {
  return target < https::kResources ? Name(static_cast<https::Resource>(target)) : "other";
}

}  // namespace tombolo::ca
