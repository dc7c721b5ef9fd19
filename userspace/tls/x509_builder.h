// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tls/openssl.h"
#include "tls/serial.h"
#include "tls/signing_key.h"
#include "tls/validity.h"

// The pieces that certificates and requests are put together from. Internal to tls.
namespace tombolo::tls {

using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;

struct Extension {
  int nid;
  std::string value;  // in the words of x509v3_config(5): only checked text may go in
};

absl::Status BuildError(absl::string_view what);

// The subject of everything that is made here: O=Tombolo, then what is not empty of the others.
struct SubjectNames {
  std::string unit{}, common_name{};
};
absl::Status SetSubject(X509_NAME* name, const SubjectNames& names);

// Everything but subject, issuer, extensions and signature.
absl::StatusOr<X509Ptr> NewCertificate(const PublicKey& key, const Serial& serial,
                                       Validity validity);
absl::Status AddExtensions(X509* certificate, X509* issuer,
                           const std::vector<Extension>& extensions);
// PEM.
absl::StatusOr<std::string> SignCertificate(X509* certificate, const SigningKey& key);

// A PKCS#10 request by `key` and for it.
absl::StatusOr<X509ReqPtr> NewRequest(const SigningKey& key, const SubjectNames& subject,
                                      const std::vector<Extension>& extensions);

}  // namespace tombolo::tls
