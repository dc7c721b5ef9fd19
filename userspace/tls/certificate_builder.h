// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "base/time.h"

// Keys and certificates for an authority, as PEM texts. Everything that is made
// here passes this module's own checks and `openssl verify -x509_strict`.
namespace tombolo::tls {

struct Validity {
  // Clocks differ: certificates begin to be valid a little before they are
  // made.
  static constexpr std::chrono::seconds kBackdate{30};
  static Validity FromNow(std::chrono::seconds ttl);

  WallTime not_before, not_after;
};

// A new P-256 key, PKCS#8 and not encrypted.
absl::StatusOr<std::string> GenerateKey();

// A self-signed root for `trust_domain` with `key` (PEM).
absl::StatusOr<std::string> CreateRoot(absl::string_view trust_domain, const std::string& key,
                                       Validity validity);

// Signs SVIDs with a root of CreateRoot(). Immutable; any thread may share it.
class Issuer {
 public:
  struct Pem {
    std::string certificate, key;
    std::string certificate_name, key_name;  // the files that errors mention
  };
  static absl::StatusOr<std::unique_ptr<Issuer>> FromPem(const Pem& pem);
  ~Issuer();

  const std::string& trust_domain() const;
  WallTime not_after() const;

  // A leaf for `id`, which must be a workload of the trust domain, and the
  // public half of `key` (PEM). It may not outlive the issuer.
  absl::StatusOr<std::string> IssueSvid(const SpiffeId& id, const std::string& key,
                                        Validity validity) const;

 private:
  struct Impl;
  explicit Issuer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tombolo::tls
