// SPDX-License-Identifier: Apache-2.0
#include "tls/cluster_bindings.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tls/digest.h"

namespace tombolo::tls {

absl::Status CheckBinding(absl::string_view cluster, const SpiffeId& id) {
  absl::string_view rest = id.path();
  const bool in_cluster =
      absl::ConsumePrefix(&rest, "/cluster") && (rest.empty() || absl::StartsWith(rest, "/"));
  if (!in_cluster) {
    if (cluster.empty()) return absl::OkStatus();
    return absl::PermissionDeniedError(absl::StrCat("the authority of cluster '", cluster,
                                                    "' may not sign for '", id.text(),
                                                    "', which is of no cluster"));
  }
  if (cluster.empty()) {
    return absl::PermissionDeniedError(
        absl::StrCat("an authority of no cluster may not sign for '", id.text(), "'"));
  }
  // The slash after the name: /cluster/east is no prefix of /cluster/east-2/...
  if (absl::StartsWith(rest, absl::StrCat("/", cluster, "/"))) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("the authority of cluster '", cluster, "' may not sign for '", id.text(), "'"));
}

absl::Status ClusterBindings::Check(const KeyId& signer, const SpiffeId& id) const {
  const auto found = clusters.find(signer);
  if (found != clusters.end()) return CheckBinding(found->second, id);
  return absl::PermissionDeniedError(absl::StrCat("'", id.text(), "' is signed by the key ",
                                                  Hex(signer), ", which is bound to no cluster"));
}

}  // namespace tombolo::tls
