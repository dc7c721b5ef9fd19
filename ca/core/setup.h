// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "core/issuance.h"
#include "core/key_store.h"
#include "core/signers.h"
#include "core/trust_state.h"

// Making roots and authorities. Blocks; for commands.
namespace tombolo::ca {

// A new root of `trust_domain`, by the key that `reference` finds; by a new one in a file when that
// is empty.
absl::StatusOr<TrustRoot> MakeRoot(const std::string& trust_domain, const KeyReference& reference,
                                   const KeyStore& keys);

// A root that somebody else has made and keeps. `name` is the file that errors mention.
absl::StatusOr<TrustRoot> ForeignRoot(const std::string& certificate, const std::string& name,
                                      const std::string& trust_domain);

// A new authority for `cluster` below `root`, with a new key in a file.
struct NewAuthority {
  TrustAuthority authority;
  Certificate record;
};
absl::StatusOr<NewAuthority> MakeAuthority(const tls::Issuer& root, const std::string& cluster,
                                           const KeyStore& keys, WallTime now);

// A request (PEM) for an authority's certificate that somebody else is to sign, and its key: a new
// one in a file when `reference` is empty.
struct AuthorityRequest {
  std::string csr;
  KeyReference key;
};
absl::StatusOr<AuthorityRequest> MakeAuthorityRequest(const std::string& trust_domain,
                                                      const std::string& cluster,
                                                      const KeyReference& reference,
                                                      const KeyStore& keys);

// The authority that a certificate (with those between it and a root) makes, if it leads to a root
// of `state` and agents would accept its leaves. `reference` may be empty when the key is in the
// file that MakeAuthorityRequest() made.
absl::StatusOr<TrustAuthority> ReadForeignAuthority(const std::string& chain,
                                                    const std::string& name,
                                                    const std::string& cluster,
                                                    const KeyReference& reference,
                                                    const KeyStore& keys, const TrustState& state);

// What the ledger is to know of it, once it is installed.
absl::StatusOr<Certificate> RecordOfInstalled(const TrustAuthority& authority);

}  // namespace tombolo::ca
