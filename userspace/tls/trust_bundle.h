// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tls/cluster_bindings.h"
#include "tls/public_key.h"
#include "tls/revocations.h"

namespace tombolo::tls {

inline constexpr std::size_t kMaxTrustBundleSize = 4 << 20;

// What the certificates of a trust domain are verified against. A plain value.
struct TrustBundle {
  std::string trust_domain;
  std::string roots;  // PEM, 1 to 64
  // Which authority may sign for which cluster. Not set: each may for all. Set and empty: none may.
  std::optional<ClusterBindings> bindings{};
  Revocations revoked{};
  // Authorities whose leaves still hold, but are to be replaced at once: their root is about to go.
  std::set<KeyId> tainted{};
  std::uint64_t sequence = 0;            // grows with each change
  std::chrono::seconds refresh_hint{0};  // 0: none given
  std::vector<TrustBundle> federated{};  // other trust domains, without bindings of their own

  friend bool operator==(const TrustBundle&, const TrustBundle&) = default;
};

// Reads either of two forms: certificates in PEM, which are the roots and nothing else; or a SPIFFE
// bundle document (a JWKS, SPIFFE_Trust_Domain_and_Bundle.md, section 4), of anybody's. Keys for
// other uses and members that are not known are left alone, as the standard says, but a member that
// is known and malformed refuses the whole. Every root has to be one that may sign for
// `trust_domain`. `name` is the file or URL that errors mention.
absl::StatusOr<TrustBundle> ParseTrustBundle(absl::string_view text, absl::string_view trust_domain,
                                             absl::string_view name);

// As a SPIFFE bundle document. What that has no place for is in the member "tombolo", which other
// readers skip:
//   "tombolo": {"trust_domain": "test.example",
//               "authorities": [{"key_sha256": "<hex, of the SubjectPublicKeyInfo>",
//                                "cluster": "east"}, ...],        null: not bound
//               "tainted": ["<hex, as above>", ...],
//               "revoked": {"ids": ["spiffe://..."], "serials": ["<hex>"], "series": ["<hex>"],
//                           "clusters": ["east"]},
//               "federated": {"other.example": {<its bundle document>}, ...}}
absl::StatusOr<std::string> WriteTrustBundle(const TrustBundle& bundle);

}  // namespace tombolo::tls
