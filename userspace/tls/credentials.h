// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "tls/trust_anchors.h"

namespace tombolo::tls {

// An X.509-SVID with its key and the bundle that its peers are checked against,
// ready for handshakes in either role. Immutable; any thread may share it.
class Credentials {
 public:
  // PEM texts: the leaf first, then intermediates; one private key. The trust
  // bundle is PEM, too, or a SPIFFE bundle document: see trust_bundle.h; what
  // that binds to clusters holds for own and for peers' chains. Checks the SVID
  // by the X.509-SVID rules, that the key is the leaf's, and that the chain
  // leads to the bundle now. `names` are the file names that errors mention.
  struct Pem {
    std::string chain, key, bundle;
    std::string chain_name, key_name, bundle_name;
  };
  static absl::StatusOr<std::shared_ptr<const Credentials>> FromPem(const Pem& pem);
  // The same with a bundle that others have, too; pem's is not looked at.
  static absl::StatusOr<std::shared_ptr<const Credentials>> FromPem(const Pem& pem,
                                                                    TrustAnchorsPtr trust);

  ~Credentials();
  const SpiffeId& id() const;
  WallTime not_before() const;
  WallTime not_after() const;
  std::string serial() const;  // hex
  // Its authority is about to be left (TrustBundle::tainted): another SVID is due.
  bool tainted() const;
  // What its peers are checked against.
  const TrustAnchorsPtr& trust() const;

  struct Impl;  // OpenSSL's objects
  const Impl& impl() const { return *impl_; }

 private:
  explicit Credentials(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

using CredentialsPtr = std::shared_ptr<const Credentials>;

}  // namespace tombolo::tls
