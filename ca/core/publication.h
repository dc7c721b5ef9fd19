// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

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

// That as a document, and what it is made of.
struct Publication {
  std::string document;
  std::string roots;  // PEM
};
// ResourceExhausted, with how large it is, when readers would refuse it for its size.
absl::StatusOr<Publication> Publish(const TrustState& state, const tls::Revocations& revoked,
                                    std::int64_t sequence);

// Bytes of the document. Roots, authorities and federated bundles leave room for revocations, which
// cannot wait.
struct PublicationLimits {
  std::size_t trust = tls::kMaxTrustBundleSize / 4 * 3;
  std::size_t all = tls::kMaxTrustBundleSize;
};

// Whether everybody could read what would be published. To be asked before any of it is written:
// what is written and cannot be published is as good as not revoked. ResourceExhausted says what to
// do.
absl::Status CheckPublishable(const TrustState& state, const tls::Revocations& revoked,
                              const PublicationLimits& limits = {});

}  // namespace tombolo::ca
