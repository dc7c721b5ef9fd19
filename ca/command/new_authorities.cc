// SPDX-License-Identifier: Apache-2.0
#include "command/new_authorities.h"

#include <chrono>

#include "base/files.h"
#include "base/status_macros.h"
#include "core/setup.h"

namespace tombolo::ca {

NewKeys::~NewKeys() {
  for (const KeyReference& key : made_) keys_.Remove(key);
}

absl::Status NewKeys::Settle(absl::Status put) {
  if (put.ok() || absl::IsUnknown(put)) made_.clear();
  return put;
}

absl::StatusOr<TrustRoot> ChooseRoot(const Context& context, const KeyReference& reference,
                                     const std::string& certificate_file, NewKeys& made) {
  const std::string& trust_domain = context.config.trust_domain;
  if (!certificate_file.empty()) {
    ASSIGN_OR_RETURN(const std::string pem, ReadFile(certificate_file));
    return ForeignRoot(pem, certificate_file, trust_domain);
  }
  ASSIGN_OR_RETURN(TrustRoot root, MakeRoot(trust_domain, reference, context.keys));
  if (reference.empty()) made.Add(root.key);
  return root;
}

absl::StatusOr<std::vector<TrustAuthority>> MakeAuthorities(
    Context& context, const TrustRoot& root, const std::vector<std::string>& clusters,
    NewKeys& made) {
  ASSIGN_OR_RETURN(const IssuerPtr issuer,
                   OpenRoot(root, context.keys, context.config.trust_domain));
  std::vector<TrustAuthority> authorities;
  for (const std::string& cluster : clusters) {
    ASSIGN_OR_RETURN(NewAuthority authority, MakeAuthority(*issuer, cluster, context.keys,
                                                           std::chrono::system_clock::now()));
    made.Add(authority.authority.key);
    RETURN_IF_ERROR(RecordCertificate(context, authority.record));
    authorities.push_back(std::move(authority.authority));
  }
  return authorities;
}

}  // namespace tombolo::ca
