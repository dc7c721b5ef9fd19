// SPDX-License-Identifier: Apache-2.0
#include "agent/link_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::agent {

absl::string_view Name(LinkRefusal refusal) {
  switch (refusal) {
    case LinkRefusal::kNoIdentity:
      return "no_identity";
    case LinkRefusal::kHandshake:
      return "handshake";
    case LinkRefusal::kIdentity:
      return "identity";
    case LinkRefusal::kDirectory:
      return "directory";
    case LinkRefusal::kProtocol:
      return "protocol";
    case LinkRefusal::kDraining:
      return "draining";
    case LinkRefusal::kCount:
      break;
  }
  return "unknown";
}

LinkRules::LinkRules(const mesh::Snapshot& snapshot, const source::AgentConfig& config,
                     identity::StorePtr own_identities)
    : cluster(config.cluster), identities(std::move(own_identities)) {
  // Both names are labels, which a SPIFFE ID takes.
  const auto own = SpiffeId::ForGateway(snapshot.trust_domain, config.cluster, config.node);
  if (own.ok()) id = *own;
  for (const mesh::Cluster& other : snapshot.clusters) {
    if (other.name == cluster) continue;
    const bool linked = std::ranges::any_of(
        config.links, [&](const auto& link) { return link.cluster == other.name; });
    for (const mesh::Gateway& gateway : other.gateways) {
      if (gateway.via == cluster) from.emplace(other.name, gateway.name);
      if (linked && gateway.via.empty()) {
        targets.push_back({other.name, gateway.name, gateway.address});
      }
    }
  }
}

tls::CredentialsPtr LinkRules::Credentials() const {
  return identities == nullptr ? nullptr : identities->Find(id);
}

absl::Status LinkRules::CheckIdentities(const SpiffeId& peer, absl::string_view serial) const {
  if (identities == nullptr) return absl::FailedPreconditionError("this gateway has no identity");
  // For a moment after each change of the trust bundle there are none.
  const tls::CredentialsPtr own = Credentials();
  RETURN_IF_ERROR(identities->CheckRevoked(id, own == nullptr ? "" : own->serial()));
  return identities->CheckRevoked(peer, serial);
}

absl::Status LinkRules::Check(const SpiffeId& peer, absl::string_view serial,
                              LinkRefusal& refusal) const {
  const SpiffeId::Name name = peer.name();
  refusal = LinkRefusal::kIdentity;
  if (name.kind != SpiffeId::Kind::kGateway || peer.trust_domain() != id.trust_domain()) {
    return absl::PermissionDeniedError(absl::StrCat(
        "'", peer.text(), "' is no gateway of trust domain '", id.trust_domain(), "'"));
  }
  RETURN_IF_ERROR(CheckIdentities(peer, serial));
  refusal = LinkRefusal::kDirectory;
  if (from.contains({std::string(name.cluster), std::string(name.gateway)})) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat("the directory has no gateway '", name.gateway,
                                                  "' of cluster '", name.cluster,
                                                  "' that is reached via '", cluster, "'"));
}

std::string LinkServerName(absl::string_view cluster) {
  return absl::StrCat("link.", cluster, ".tombolo.internal");
}

}  // namespace tombolo::agent
