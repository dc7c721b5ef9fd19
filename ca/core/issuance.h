// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "ledger/records.h"
#include "tls/issuer.h"
#include "tls/public_key.h"

namespace tombolo::ca {

// What a certificate is to say, and what its record says beside that.
struct LeafOrder {
  SpiffeId id;
  tls::PublicKey key;
  std::vector<std::string> hosts{};
  std::string requester{}, node{};  // node: the place of its agent (place.h), or empty
};

// A leaf, and the record that the ledger has to have before anybody gets it.
struct Issuance {
  std::string leaf;   // PEM
  std::string chain;  // PEM: what is between it and the root
  Certificate record;
};

// A leaf that lives for `ttl`, or as long as its issuer if that is less. FailedPrecondition when
// the issuer has expired.
absl::StatusOr<Issuance> IssueLeaf(const tls::Issuer& issuer, const LeafOrder& order,
                                   std::chrono::seconds ttl, WallTime now);

// The certificate of an authority below `root`, valid as long as that: what ends it is that its key
// leaves the trust bundle.
absl::StatusOr<Issuance> IssueAuthority(const tls::Issuer& root, const std::string& cluster,
                                        const tls::PublicKey& key, WallTime now);

// SHA-256 of a certificate's DER in hex, as `openssl x509 -fingerprint -sha256` has it without
// colons.
absl::StatusOr<std::string> Fingerprint(const std::string& pem);

}  // namespace tombolo::ca
