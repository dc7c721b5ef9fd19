// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "core/cluster_registration.h"
#include "tls/jwks.h"

namespace tombolo::ca {

struct FoundKeys {
  std::string jwks;  // as the cluster serves them
  tls::JwtKeys keys;
};

// Asks a cluster that has a `discovery` which keys it signs with. Blocks. The configuration that it
// reads has to be the registered issuer's. The bearer token goes to the server of the discovery's
// URL and to no other, and no redirection is followed. Errors name the URL: Unavailable,
// DeadlineExceeded, Unknown; PermissionDenied for a server whose certificate does not hold; others
// for what it says.
absl::StatusOr<FoundKeys> DiscoverKeys(const ClusterRegistration& registration,
                                       MonotonicTime deadline);

}  // namespace tombolo::ca
