// SPDX-License-Identifier: Apache-2.0
#include "core/publication.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/public_key.h"

namespace tombolo::ca {
namespace {

// Of those who poll; agents hold a request for the next one open.
constexpr std::chrono::seconds kRefreshHint{300};

absl::Status AddKeys(const TrustState& state, tls::TrustBundle& bundle) {
  for (const TrustRoot& root : state.roots) {
    absl::StrAppend(&bundle.roots, root.certificate);
    if (root.state != RootState::kTainted) continue;
    ASSIGN_OR_RETURN(const tls::PublicKey key, tls::PublicKeyOf(root.certificate, "root"));
    bundle.tainted.insert(key.id());
  }
  bundle.bindings.emplace();
  for (const TrustAuthority& authority : state.authorities) {
    ASSIGN_OR_RETURN(const tls::PublicKey key, tls::PublicKeyOf(authority.chain, "authority"));
    bundle.bindings->clusters.emplace(key.id(), authority.cluster);
    if (state.FindRoot(authority.root)->state == RootState::kTainted) {
      bundle.tainted.insert(key.id());
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<tls::TrustBundle> ToTrustBundle(const TrustState& state,
                                               const tls::Revocations& revoked,
                                               std::int64_t sequence) {
  tls::TrustBundle bundle{.trust_domain = state.trust_domain, .roots = {}};
  RETURN_IF_ERROR(AddKeys(state, bundle));
  bundle.sequence = static_cast<std::uint64_t>(sequence);
  bundle.refresh_hint = kRefreshHint;
  bundle.revoked = revoked;
  for (const auto& [name, text] : state.federated) {
    ASSIGN_OR_RETURN(tls::TrustBundle other, tls::ParseTrustBundle(text, name, name));
    // Their keys sign for their own trust domain; what they bind and revoke is theirs to check.
    bundle.federated.push_back({.trust_domain = name, .roots = std::move(other.roots)});
    bundle.federated.back().sequence = other.sequence;
    bundle.federated.back().refresh_hint = other.refresh_hint;
  }
  return bundle;
}

}  // namespace tombolo::ca
