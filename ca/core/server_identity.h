// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/time.h"
#include "core/issuance.h"
#include "core/signers.h"
#include "tls/credentials.h"

namespace tombolo::ca {

using ServerCredentials = std::shared_ptr<const tls::Credentials::Pem>;

// The certificate of this authority's own server, spiffe://<trust domain>/ca, with the names that
// it is reached by. Issued by the authority of no cluster, to a key that never leaves this process,
// and recorded as every other. Used by one thread at a time.
class ServerIdentity {
 public:
  // Records a certificate; blocks until it is.
  using Record = std::function<absl::Status(const Certificate&)>;
  ServerIdentity(std::vector<std::string> hosts, std::chrono::seconds ttl, Record record)
      : hosts_(std::move(hosts)), ttl_(ttl), record_(std::move(record)) {}

  // Makes a new one when there is none by this issuer, or half of its time is over. After an error
  // the old one stays.
  absl::Status Update(const IssuerPtr& issuer, WallTime now);

  // What the server shows; peers are verified against `bundle`. An error when the certificate
  // would not be accepted by it, as when it is revoked: then Update() makes another one.
  absl::StatusOr<ServerCredentials> Credentials(const std::string& bundle, WallTime now);

  WallTime next() const { return next_; }  // when Update() is wanted

 private:
  absl::Status Make(const IssuerPtr& issuer, WallTime now);

  const std::vector<std::string> hosts_;
  const std::chrono::seconds ttl_;
  const Record record_;
  std::string issuer_;  // the certificate that signed it
  std::string chain_, key_;
  WallTime renew_ = WallTime::min();
  WallTime next_ = WallTime::min();
};

}  // namespace tombolo::ca
