// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "tls/crl.h"
#include "tls/issuer.h"

namespace tombolo::ca {

// The signed revocation list of each authority: signed anew when what is on it changes, and when
// half of its time is over. Used by one thread at a time.
class CrlShelf {
 public:
  explicit CrlShelf(std::chrono::seconds ttl) : ttl_(ttl) {}

  // DER.
  absl::StatusOr<std::string> Get(const tls::Issuer& issuer, const std::string& id,
                                  const std::vector<tls::RevokedCertificate>& revoked,
                                  WallTime now);
  // When the first of them has to be signed anew.
  WallTime next() const;
  // Forgets those that have not been asked for since the last call.
  void Sweep();

 private:
  struct Signed {
    std::string serials;  // what is on it
    std::string issuer;   // the certificate that it was signed for
    WallTime renew;
    std::string der;
    bool used = false;
  };
  const std::chrono::seconds ttl_;
  std::map<std::string, Signed> signed_;  // by the authority's id
};

}  // namespace tombolo::ca
