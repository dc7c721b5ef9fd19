// SPDX-License-Identifier: Apache-2.0
#include "tls/certificate_facts.h"

#include "base/status_macros.h"
#include "tls/digest.h"
#include "tls/key_impl.h"
#include "tls/pem.h"

namespace tombolo::tls {

absl::StatusOr<std::vector<CertificateFacts>> FactsOf(const std::string& pem,
                                                      const std::string& name) {
  ASSIGN_OR_RETURN(const X509StackPtr certificates, ReadCertificates(pem, name));
  std::vector<CertificateFacts> facts;
  for (int i = 0; i < sk_X509_num(certificates.get()); ++i) {
    const X509* certificate = sk_X509_value(certificates.get(), i);
    ASSIGN_OR_RETURN(const std::string der, DerOf(certificate));
    facts.push_back({.serial = SerialHex(certificate),
                     .validity = {.not_before = ToWallTime(X509_get0_notBefore(certificate)),
                                  .not_after = ToWallTime(X509_get0_notAfter(certificate))},
                     .key = KeyIdOf(certificate),
                     .digest = Sha256(der)});
  }
  return facts;
}

}  // namespace tombolo::tls
