// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tls/openssl.h"

// Certificates and keys as PEM text. `name` is the file that errors mention.
// Internal to tls and to tests.
namespace tombolo::tls {

// Every certificate of a text, in order; at least one.
absl::StatusOr<X509StackPtr> ReadCertificates(const std::string& pem, const std::string& name);
// The same, as bytes that nobody has looked into: to decode a certificate costs OpenSSL 3.0 more
// than to verify its signature.
absl::StatusOr<std::vector<std::string>> ReadEncodedCertificates(const std::string& pem,
                                                                 const std::string& name);
absl::StatusOr<KeyPtr> ReadKey(const std::string& pem, const std::string& name);

absl::StatusOr<std::string> WriteCertificate(const X509* certificate);
absl::StatusOr<std::string> DerOf(const X509* certificate);
absl::StatusOr<std::string> WriteRequest(X509_REQ* request);
absl::StatusOr<std::string> WriteKey(const EVP_PKEY* key);  // PKCS#8, not encrypted

}  // namespace tombolo::tls
