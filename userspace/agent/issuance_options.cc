// SPDX-License-Identifier: Apache-2.0
#include "agent/issuance_options.h"

#include "absl/strings/str_cat.h"

namespace tombolo::agent {

identity::Options IssuanceOptions(const source::AgentConfig& config) {
  const source::AgentConfig::Authority& authority = *config.identity.authority;
  return {.cluster = config.cluster,
          .node = config.node,
          .gateway = config.role == source::Role::kGateway,
          .trust_domain = authority.trust_domain,
          .urls = authority.urls,
          .trust = authority.trust,
          .join_token = authority.join_token,
          .service_account_token = authority.service_account_token,
          .state = authority.state,
          .keep_workloads = authority.keep_workloads};
}

absl::Status CheckTrustDomain(const source::AgentConfig& config, const mesh::Snapshot& snapshot) {
  const auto& authority = config.identity.authority;
  if (!authority || authority->trust_domain == snapshot.trust_domain) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(config.directory, ": its trust domain '", snapshot.trust_domain,
                   "' is not identity.authority.trust_domain, '", authority->trust_domain, "'"));
}

}  // namespace tombolo::agent
