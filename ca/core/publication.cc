// SPDX-License-Identifier: Apache-2.0
#include "core/publication.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "ledger/audit.h"
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

absl::Status TooLarge(absl::string_view what, std::size_t size, std::size_t limit,
                      absl::string_view advice) {
  return absl::ResourceExhaustedError(
      absl::StrCat(what, " would have ", size, " bytes, and may have ", limit, ": ", advice));
}

absl::StatusOr<Publication> Written(const TrustState& state, const tls::Revocations& revoked,
                                    std::int64_t sequence) {
  ASSIGN_OR_RETURN(tls::TrustBundle bundle, ToTrustBundle(state, revoked, sequence));
  Publication made;
  ASSIGN_OR_RETURN(made.document, tls::WriteTrustBundle(bundle));
  made.roots = std::move(bundle.roots);
  return made;
}

}  // namespace

absl::StatusOr<Publication> Publish(const TrustState& state, const tls::Revocations& revoked,
                                    std::int64_t sequence) {
  ASSIGN_OR_RETURN(Publication made, Written(state, revoked, sequence));
  if (made.document.size() > tls::kMaxTrustBundleSize) {
    return TooLarge("the trust bundle", made.document.size(), tls::kMaxTrustBundleSize,
                    "agents would refuse it");
  }
  return made;
}

absl::Status CheckPublishable(const TrustState& state, const tls::Revocations& revoked,
                              const PublicationLimits& limits) {
  ASSIGN_OR_RETURN(const Publication trust, Written(state, {}, kMaxSequence));
  if (trust.document.size() > limits.trust) {
    return TooLarge("the trust bundle", trust.document.size(), limits.trust,
                    "without what is revoked, for which the rest is kept; 'tombolo-ca federate "
                    "remove' makes room, and so does the end of a rotation");
  }
  ASSIGN_OR_RETURN(const Publication all, Written(state, revoked, kMaxSequence));
  const std::size_t size = all.document.size();
  if (size > limits.all) {
    return TooLarge("the trust bundle", size, limits.all,
                    "agents would refuse it, so nothing is changed. 'tombolo-ca unrevoke' what is "
                    "no danger any more, or 'revoke cluster' instead of all that is in it");
  }
  // Lists have limits of their own.
  const absl::Status read =
      tls::ParseTrustBundle(all.document, state.trust_domain, "the trust bundle").status();
  if (read.ok()) return read;
  return absl::ResourceExhaustedError(
      absl::StrCat(read.message(), ": agents would refuse it, so nothing is changed"));
}

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
