// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tls/issuer.h"
#include "tls/signing_key.h"
#include "tls/validity.h"

// Keys and the certificates of an authority, as PEM texts; leaves are Issuer's. Everything that is
// made here passes this module's own checks and `openssl verify -x509_strict`.
namespace tombolo::tls {

// A new P-256 key, PKCS#8 and not encrypted.
absl::StatusOr<std::string> GenerateKey();

// A self-signed root for `trust_domain`. It may sign intermediates, and leaves.
absl::StatusOr<std::string> CreateRoot(absl::string_view trust_domain, const SigningKey& key,
                                       Validity validity);
// The same with a key in PEM.
absl::StatusOr<std::string> CreateRoot(absl::string_view trust_domain, const std::string& key,
                                       Validity validity);

// A request (PEM) for the certificate of an intermediate that another authority, such as a
// company's own root, is to sign. `cluster` is empty for none.
absl::StatusOr<std::string> MakeIntermediateCsr(absl::string_view trust_domain,
                                                absl::string_view cluster, const SigningKey& key);

// An intermediate that was made elsewhere.
struct ForeignIntermediate {
  std::string chain;       // PEM: its certificate, then those between it and the root
  std::string roots;       // PEM: the trust bundle
  std::string chain_name;  // the files that errors mention
  std::string roots_name;
  std::string trust_domain;
  std::string cluster;  // empty: of no cluster
  SigningKey key;
};

// The issuer that it makes, if every agent would accept its leaves: the chain leads to one of the
// roots now and by strict rules, every certificate above it is a CA of this trust domain, its own
// is a CA with pathlen 0, keyCertSign and cRLSign, the key is its, and an extended key usage, if
// there is one, allows both roles of a leaf. InvalidArgument names what is wrong.
absl::StatusOr<std::unique_ptr<Issuer>> InstallIntermediate(const ForeignIntermediate& foreign);

}  // namespace tombolo::tls
