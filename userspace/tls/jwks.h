// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tls/public_key.h"

namespace tombolo::tls {

inline constexpr std::size_t kMaxJwksSize = 256 * 1024;

// The keys that sign a Kubernetes cluster's service account tokens: a JWKS document (RFC 7517), as
// the cluster serves it at /openid/v1/jwks. A plain value.
class JwtKeys {
 public:
  // Keys that cannot be used (another use, another kind, weak) are kept with the reason, for
  // Find(): the others stay good. InvalidArgument for what is no JWKS document, names a key twice,
  // or has keys, and none with a name.
  static absl::StatusOr<JwtKeys> Parse(absl::string_view jwks);

  struct Key {
    PublicKey key;
    std::string algorithm;  // the only one it is for; empty: the document does not say
  };
  // NotFound when there is no such key: it may be newer than the document.
  absl::StatusOr<Key> Find(const std::string& kid) const;
  bool empty() const { return keys_.empty(); }

 private:
  std::map<std::string, absl::StatusOr<Key>> keys_;
};

}  // namespace tombolo::tls
