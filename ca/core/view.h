// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/grant.h"
#include "core/server_identity.h"
#include "core/signers.h"
#include "core/stored_state.h"

namespace tombolo::ca {

// Everything that requests are answered from, of one moment. Immutable; threads share it.
struct View {
  StoredState state;
  std::shared_ptr<const Registrations> registrations;
  std::int64_t sequence = 0;  // of the trust bundle
  std::string bundle;         // as a SPIFFE bundle document
  std::string roots;          // PEM
  // By cluster: who signs now. One whose key this replica has not is missing.
  std::map<std::string, IssuerPtr> signers;
  std::map<std::string, std::string> crls;  // by the authority's key, hex: DER
  ServerCredentials server;                 // null: none could be made

  // Whether roots and authorities are the same in the bundle `other`, so that whoever was judged by
  // that is good here. What is revoked is for Decide().
  bool TrustsAs(std::int64_t other) const {
    return other >= state.basis.document && other <= sequence;
  }

  GrantRules rules() const {
    return {.trust_domain = state.trust.trust_domain,
            .revoked = state.revoked.set,
            .clusters = state.clusters,
            .registrations = *registrations};
  }
};
using ViewPtr = std::shared_ptr<const View>;

}  // namespace tombolo::ca
