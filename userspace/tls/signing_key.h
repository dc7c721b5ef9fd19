// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tls/public_key.h"

namespace tombolo::tls {

// A private key that can sign. It need not be in a file, or in this process at all: a URI finds it
// wherever OpenSSL's providers reach. Immutable; copies and threads share it.
class SigningKey {
 public:
  // PKCS#8 and not encrypted. `name` is the file that errors mention.
  static absl::StatusOr<SigningKey> FromPem(const std::string& pem, const std::string& name);

  // file:/path, or whatever scheme the providers of openssl.cnf have: pkcs11: (RFC 7512) with the
  // pkcs11 provider. The URI must find exactly one private key. From the first call on nobody is
  // asked for a PIN or a passphrase, in the whole process: a token's PIN is in its URI (pin-value,
  // better pin-source) or in openssl.cnf. Errors show the URI without its query, where PINs are.
  static absl::StatusOr<SigningKey> FromUri(const std::string& uri);

  const PublicKey& public_key() const;

  struct Impl;  // OpenSSL's objects
  const Impl& impl() const { return *impl_; }

 private:
  explicit SigningKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  std::shared_ptr<const Impl> impl_;
};

}  // namespace tombolo::tls
