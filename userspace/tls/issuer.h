// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "tls/public_key.h"
#include "tls/serial.h"
#include "tls/signing_key.h"
#include "tls/validity.h"

namespace tombolo::tls {

// What a leaf says. Nothing of it comes from a certificate request but the key.
struct Leaf {
  SpiffeId id;
  PublicKey key;
  Validity validity;
  Serial serial = Serial::Random();
  // More names for an HTTPS server: DNS names and IP addresses. Only the authority's own SPIFFE ID
  // may have them.
  std::vector<std::string> hosts{};
};

// What the certificate of an authority below the root says.
struct Intermediate {
  PublicKey key;
  std::string cluster;  // empty: of no cluster
  Validity validity;
  Serial serial = Serial::Random();
};

// Signs with the key of a root or of an intermediate. Immutable; any thread may share it.
class Issuer {
 public:
  // What an issuer is made of.
  struct Parts {
    std::string chain;       // PEM: its certificate, then those between it and the root
    std::string chain_name;  // the file that errors mention
    SigningKey key;
    std::string key_name = "signing key";
    // Empty: what the certificate says. One that was made elsewhere need not say it.
    std::string trust_domain{};
    // What it may sign, see CheckBinding(). Not set: anything of the trust domain.
    std::optional<std::string> cluster{};
  };
  static absl::StatusOr<std::unique_ptr<Issuer>> FromParts(const Parts& parts);

  // The same from a key in PEM, not bound.
  struct Pem {
    std::string certificate, key;
    std::string certificate_name, key_name;  // the files that errors mention
  };
  static absl::StatusOr<std::unique_ptr<Issuer>> FromPem(const Pem& pem);
  ~Issuer();

  const std::string& trust_domain() const;
  WallTime not_after() const;  // of the first certificate of its chain that ends
  const PublicKey& public_key() const;
  const std::string& certificate() const;  // PEM
  // What a peer needs beside a leaf and the roots, PEM. Empty when this is a root.
  const std::string& chain() const;

  // A leaf, PEM. Its ID must have a path, be of the trust domain, and be what this issuer is bound
  // to. It may not outlive the issuer.
  absl::StatusOr<std::string> IssueLeaf(const Leaf& leaf) const;

  // A leaf for the public half of `key` (PEM).
  absl::StatusOr<std::string> IssueSvid(const SpiffeId& id, const std::string& key,
                                        Validity validity) const;

  // The certificate of an authority that signs leaves and nothing else (pathlen 0), PEM.
  // FailedPrecondition when this issuer may not sign authorities itself, as only a root's may.
  absl::StatusOr<std::string> IssueIntermediate(const Intermediate& intermediate) const;

  struct Impl;  // OpenSSL's objects
  const Impl& impl() const { return *impl_; }

 private:
  explicit Issuer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tombolo::tls
