// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/trust_state.h"
#include "tls/trust_bundle.h"

namespace tombolo::ca {

// What agents are told to verify peers by: every root that is there, each authority bound to its
// cluster, who is revoked, and which keys to renew away from. A function of its arguments alone, so
// that all replicas publish the same.
absl::StatusOr<tls::TrustBundle> ToTrustBundle(const TrustState& state,
                                               const tls::Revocations& revoked,
                                               std::int64_t sequence);

}  // namespace tombolo::ca
