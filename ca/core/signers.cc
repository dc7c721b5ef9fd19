// SPDX-License-Identifier: Apache-2.0
#include "core/signers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

std::string NameOf(const TrustAuthority& authority) {
  return absl::StrCat("authority ", authority.id.substr(0, 8), " of '", authority.cluster, "'");
}

}  // namespace

absl::StatusOr<IssuerPtr> OpenAuthority(const TrustAuthority& authority, const KeyStore& keys,
                                        const std::string& trust_domain) {
  absl::StatusOr<tls::SigningKey> key = keys.Open(authority.key);
  if (!key.ok()) return Annotate(key.status(), NameOf(authority));
  ASSIGN_OR_RETURN(std::unique_ptr<tls::Issuer> issuer,
                   tls::Issuer::FromParts({.chain = authority.chain,
                                           .chain_name = NameOf(authority),
                                           .key = *std::move(key),
                                           .trust_domain = trust_domain,
                                           .cluster = authority.cluster}));
  return IssuerPtr(std::move(issuer));
}

absl::StatusOr<IssuerPtr> OpenRoot(const TrustRoot& root, const KeyStore& keys,
                                   const std::string& trust_domain) {
  const std::string name = absl::StrCat("root ", root.id.substr(0, 8));
  absl::StatusOr<tls::SigningKey> key = keys.Open(root.key);
  if (!key.ok()) return Annotate(key.status(), name);
  ASSIGN_OR_RETURN(std::unique_ptr<tls::Issuer> issuer,
                   tls::Issuer::FromParts({.chain = root.certificate,
                                           .chain_name = name,
                                           .key = *std::move(key),
                                           .trust_domain = trust_domain}));
  return IssuerPtr(std::move(issuer));
}

void Signers::Update(const TrustState& state) {
  std::map<std::string, Opened> opened;
  for (const TrustAuthority& authority : state.authorities) {
    const auto known = opened_.find(authority.id);
    if (known != opened_.end() && known->second.issuer.ok() &&
        known->second.authority == authority) {
      opened.insert(opened_.extract(known));
      continue;
    }
    opened.emplace(authority.id,
                   Opened{.authority = authority,
                          .issuer = OpenAuthority(authority, keys_, state.trust_domain)});
  }
  opened_ = std::move(opened);
}

IssuerPtr Signers::Find(const std::string& id) const {
  const auto found = opened_.find(id);
  return found == opened_.end() || !found->second.issuer.ok() ? nullptr : *found->second.issuer;
}

std::vector<std::string> Signers::Errors() const {
  std::vector<std::string> errors;
  for (const auto& [id, opened] : opened_) {
    if (!opened.issuer.ok()) errors.emplace_back(opened.issuer.status().message());
  }
  return errors;
}

}  // namespace tombolo::ca
