// SPDX-License-Identifier: Apache-2.0
#include "core/setup.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "authority.h"
#include "base/status_macros.h"
#include "tls/certificate_builder.h"
#include "tls/certificate_facts.h"
#include "tls/digest.h"
#include "tls/validity.h"

namespace tombolo::ca {
namespace {

// Of the authority's own server; no cluster's name has a dot.
constexpr char kServerKey[] = "server.authority";

std::string KeyName(const std::string& cluster) { return cluster.empty() ? kServerKey : cluster; }

absl::StatusOr<KeyStore::NewKey> OpenOrCreate(const KeyReference& reference,
                                              const std::string& name, const KeyStore& keys) {
  if (reference.empty()) return keys.Create(name);
  ASSIGN_OR_RETURN(tls::SigningKey key, keys.Open(reference));
  return KeyStore::NewKey{.reference = reference, .key = std::move(key)};
}

}  // namespace

absl::StatusOr<TrustRoot> MakeRoot(const std::string& trust_domain, const KeyReference& reference,
                                   const KeyStore& keys) {
  ASSIGN_OR_RETURN(const KeyStore::NewKey key, OpenOrCreate(reference, "root", keys));
  TrustRoot root{.id = tls::Hex(key.key.public_key().id()),
                 .state = RootState::kActive,
                 .key = key.reference,
                 .certificate = {}};
  ASSIGN_OR_RETURN(root.certificate,
                   tls::CreateRoot(trust_domain, key.key, tls::Validity::FromNow(kRootTtl)));
  return root;
}

absl::StatusOr<TrustRoot> ForeignRoot(const std::string& certificate, const std::string& name,
                                      const std::string& trust_domain) {
  TrustRoot root{.id = {}, .state = RootState::kActive, .key = {}, .certificate = certificate};
  ASSIGN_OR_RETURN(root.id, KeyIdOf(certificate, name));
  TrustState alone{
      .trust_domain = trust_domain, .roots = {root}, .authorities = {}, .federated = {}};
  const absl::Status checked = Check(alone);
  if (checked.ok()) return root;
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", checked.message()));
}

absl::StatusOr<NewAuthority> MakeAuthority(const tls::Issuer& root, const std::string& cluster,
                                           const KeyStore& keys, WallTime now) {
  ASSIGN_OR_RETURN(const KeyStore::NewKey key, keys.Create(KeyName(cluster)));
  absl::StatusOr<Issuance> made = IssueAuthority(root, cluster, key.key.public_key(), now);
  if (!made.ok()) {
    keys.Remove(key.reference);
    return made.status();
  }
  return NewAuthority{.authority = {.id = tls::Hex(key.key.public_key().id()),
                                    .cluster = cluster,
                                    .root = tls::Hex(root.public_key().id()),
                                    .key = key.reference,
                                    .chain = absl::StrCat(made->leaf, made->chain)},
                      .record = std::move(made->record)};
}

absl::StatusOr<AuthorityRequest> MakeAuthorityRequest(const std::string& trust_domain,
                                                      const std::string& cluster,
                                                      const KeyReference& reference,
                                                      const KeyStore& keys) {
  ASSIGN_OR_RETURN(const KeyStore::NewKey key, OpenOrCreate(reference, KeyName(cluster), keys));
  absl::StatusOr<std::string> csr = tls::MakeIntermediateCsr(trust_domain, cluster, key.key);
  if (csr.ok()) return AuthorityRequest{.csr = *std::move(csr), .key = key.reference};
  if (reference.empty()) keys.Remove(key.reference);
  return csr.status();
}

absl::StatusOr<TrustAuthority> ReadForeignAuthority(const std::string& chain,
                                                    const std::string& name,
                                                    const std::string& cluster,
                                                    const KeyReference& reference,
                                                    const KeyStore& keys, const TrustState& state) {
  TrustAuthority authority{
      .id = {}, .cluster = cluster, .root = {}, .key = reference, .chain = chain};
  ASSIGN_OR_RETURN(authority.id, KeyIdOf(chain, name));
  if (authority.key.empty()) authority.key = KeyStore::FileFor(KeyName(cluster), authority.id);
  ASSIGN_OR_RETURN(const tls::SigningKey key, keys.Open(authority.key));
  absl::Status why;
  for (const TrustRoot& root : state.roots) {
    const auto issuer =
        tls::InstallIntermediate({.chain = chain,
                                  .roots = root.certificate,
                                  .chain_name = name,
                                  .roots_name = absl::StrCat("root ", root.id.substr(0, 8)),
                                  .trust_domain = state.trust_domain,
                                  .cluster = cluster,
                                  .key = key});
    if (!issuer.ok()) {
      why = issuer.status();
      continue;
    }
    authority.root = root.id;
    return authority;
  }
  return why;
}

absl::StatusOr<Certificate> RecordOfInstalled(const TrustAuthority& authority) {
  ASSIGN_OR_RETURN(const std::vector<tls::CertificateFacts> facts,
                   tls::FactsOf(authority.chain, "the authority's chain"));
  const tls::CertificateFacts& own = facts.front();
  return Certificate{.serial = own.serial,
                     .subject = absl::StrCat("intermediate ", authority.cluster),
                     .not_before = own.validity.not_before,
                     .not_after = own.validity.not_after,
                     .issuer_key = facts.size() > 1 ? tls::Hex(facts[1].key) : authority.root,
                     .certificate = tls::Hex(own.digest)};
}

}  // namespace tombolo::ca
