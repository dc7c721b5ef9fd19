// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "tls/openssl.h"
#include "tls/public_key.h"
#include "tls/signing_key.h"

// Keys as OpenSSL's objects. Internal to tls and to tests.
namespace tombolo::tls {

struct SigningKey::Impl {
  KeyPtr key;
  PublicKey public_key;
};

// Checks kind and strength. Null is what OpenSSL makes of a key that it does not know.
absl::StatusOr<PublicKey> ToPublicKey(EVP_PKEY* key);
absl::StatusOr<KeyPtr> ToKey(const PublicKey& key);

KeyId KeyIdOf(const X509* certificate);

// The digest that `key` signs with; null for a kind that has its own.
const EVP_MD* DigestFor(const PublicKey& key);

}  // namespace tombolo::tls
