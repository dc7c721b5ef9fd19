// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "tls/openssl.h"
#include "tls/trust_anchors.h"

// Internal to tls.
namespace tombolo::tls {

// Adds certificates in PEM to those that `store` trusts. `name` is the file that errors mention.
absl::Status AddRoots(X509_STORE* store, const std::string& roots, const std::string& name);

struct TrustAnchors::Impl {
  // A trust domain that is federated, and the roots that vouch for it and for nothing else.
  struct Other {
    const TrustBundle* bundle = nullptr;  // one of the anchors' own
    X509StackPtr roots;
  };
  X509StorePtr store;  // the roots, by strict rules; OpenSSL locks it
  std::map<std::string, Other, std::less<>> federated;  // by trust domain
};

}  // namespace tombolo::tls
