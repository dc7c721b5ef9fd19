// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "tls/certificate_builder.h"
#include "tls/credentials.h"
#include "tls/issuer.h"

namespace tombolo::testing {

// What is wrong with a certificate. Each breaks one rule and keeps the others.
enum class Flaw {
  kNone,
  kExpired,
  kNotYetValid,
  kOtherTrustDomain,  // signed by this root all the same
  kTwoUriNames,
  kNoUriName,
  kNotSpiffe,
  kNoPath,  // the ID of the trust domain itself
  kCa,
  kKeyCertSign,
  kNoDigitalSignature,
  kNoKeyUsage,
  kKeyUsageNotCritical,
  kOnlyServerAuth,
  kOnlyClientAuth,
};

// A root with its trust domain, and SVIDs as tests need them. Aborts when
// something cannot be made.
class TestPki {
 public:
  explicit TestPki(const std::string& trust_domain = "test.example");

  const std::string& bundle() const { return root_; }
  const std::string& root_key() const { return key_; }
  const tls::Issuer& issuer() const { return *issuer_; }

  // spiffe://<trust domain><path>
  SpiffeId Id(const std::string& path) const;
  // A key and a certificate for Id(path), with this root as bundle.
  tls::Credentials::Pem Issue(const std::string& path, Flaw flaw = Flaw::kNone) const;
  tls::CredentialsPtr Credentials(const std::string& path) const;

 private:
  std::string trust_domain_, key_, root_;
  std::unique_ptr<tls::Issuer> issuer_;
};

}  // namespace tombolo::testing
