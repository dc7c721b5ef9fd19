// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/trust_state.h"
#include "tls/signing_key.h"

namespace tombolo::ca {

// Where the authority's private keys are. A reference with a ':' is a URI of OpenSSL's providers
// (pkcs11:...), anything else the name of a PEM file (mode 0600) in one directory, so that replicas
// may keep it in different places. A plain value.
class KeyStore {
 public:
  explicit KeyStore(std::string directory) : directory_(std::move(directory)) {}

  // FailedPrecondition or NotFound when it is not there, PermissionDenied when others may read it.
  absl::StatusOr<tls::SigningKey> Open(const KeyReference& reference) const;

  // A new P-256 key in a new file "<name>-<8 hex digits of its id>.key".
  struct NewKey {
    KeyReference reference;
    tls::SigningKey key;
  };
  absl::StatusOr<NewKey> Create(const std::string& name) const;

  // The name of the file that Create() makes for a key with this id.
  static KeyReference FileFor(const std::string& name, const std::string& id);

  // Takes back what Create() has made, when nothing came of it.
  void Remove(const KeyReference& reference) const;

 private:
  std::string directory_;
};

}  // namespace tombolo::ca
