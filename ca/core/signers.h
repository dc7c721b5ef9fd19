// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/key_store.h"
#include "core/trust_state.h"
#include "tls/issuer.h"

namespace tombolo::ca {

using IssuerPtr = std::shared_ptr<const tls::Issuer>;

// What an authority signs with, bound to its cluster.
absl::StatusOr<IssuerPtr> OpenAuthority(const TrustAuthority& authority, const KeyStore& keys,
                                        const std::string& trust_domain);

// The root itself, for intermediates. FailedPrecondition when its key is elsewhere.
absl::StatusOr<IssuerPtr> OpenRoot(const TrustRoot& root, const KeyStore& keys,
                                   const std::string& trust_domain);

// The authorities of a trust state, with their keys open. One whose key cannot be had is missing:
// the others go on, and so does what is newly revoked. Used by one thread at a time.
class Signers {
 public:
  explicit Signers(KeyStore keys) : keys_(std::move(keys)) {}

  // Opens what is new, and tries again what could not be opened; drops what is gone.
  void Update(const TrustState& state);

  // Null when it is not there, or its key is not.
  IssuerPtr Find(const std::string& id) const;
  std::vector<std::string> Errors() const;  // one text each

 private:
  struct Opened {
    TrustAuthority authority;
    absl::StatusOr<IssuerPtr> issuer = IssuerPtr();
  };
  const KeyStore keys_;
  std::map<std::string, Opened> opened_;  // by the key's id
};

}  // namespace tombolo::ca
