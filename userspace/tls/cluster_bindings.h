// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "tls/public_key.h"

namespace tombolo::tls {

// What an authority that is bound to `cluster` may sign: for the cluster C every path below
// /cluster/C/, and nothing else; for "" every path that is not below /cluster. PermissionDenied
// says why not.
absl::Status CheckBinding(absl::string_view cluster, const SpiffeId& id);

// Binds the keys of signing certificates to clusters, because X.509 name constraints do not reach
// the path of a SPIFFE ID: without it a cluster's authority could sign for every other cluster. A
// plain value.
struct ClusterBindings {
  std::map<KeyId, std::string> clusters;  // "": of no cluster, such as the authority's own

  // Whether the certificate with the key `signer` may have signed a leaf for `id`. A key that is
  // not bound to anything signs nothing.
  absl::Status Check(const KeyId& signer, const SpiffeId& id) const;

  friend bool operator==(const ClusterBindings&, const ClusterBindings&) = default;
};

}  // namespace tombolo::tls
