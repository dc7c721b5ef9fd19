// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tls/openssl.h"
#include "tls/trust_bundle.h"

namespace tombolo::tls {

// Adds certificates in PEM to those that `store` trusts. `name` is the file that errors mention.
absl::Status AddRoots(X509_STORE* store, const std::string& roots, const std::string& name);

// The roots of `bundle` for OpenSSL, by strict rules. `name` is the file that errors mention.
// Internal to tls.
absl::StatusOr<X509StorePtr> NewTrustStore(const TrustBundle& bundle, const std::string& name);

}  // namespace tombolo::tls
