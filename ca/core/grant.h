// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "core/cluster_registration.h"
#include "ledger/operations.h"
#include "ledger/records.h"
#include "tls/jwks.h"
#include "tls/revocations.h"

// Who may have what (docs/authority.md): the whole of it, as one pure function.
namespace tombolo::ca {

// The certificate that a caller's TLS handshake has proved.
struct Peer {
  SpiffeId id;
  std::string serial;  // lower-case hex
  WallTime not_after;
  std::int64_t judged_by = 0;  // sequence of the trust bundle that vouches for it
  std::string node{};          // for which node it was issued, as its record says; empty: not known
};

// What a caller shows.
struct Credential {
  std::optional<Peer> peer;
  std::string token;  // bearer token; empty: none
  // The record of a join token, when `token` is one and the ledger knows it.
  std::optional<Token> join_token;
  std::string key{};  // the request's, which is his: SHA-256 of the public key, in hex
};

struct Wish {
  std::vector<std::string> uris;  // of the certificate request
  bool renew = false;             // simplereenroll: nothing but the SVID's own identity
};

// Which workloads run where: "<cluster>/<node>" -> SPIFFE IDs.
using Registrations = std::map<std::string, std::set<std::string>, std::less<>>;

struct RegisteredCluster {
  ClusterRegistration registration;
  tls::JwtKeys keys;
  bool known = true;  // false: nobody has been able yet to ask for its keys
};
using RegisteredClusters = std::map<std::string, RegisteredCluster>;

// What decisions are made by. Borrows.
struct GrantRules {
  const std::string& trust_domain;
  const tls::Revocations& revoked;
  const RegisteredClusters& clusters;
  const Registrations& registrations;
};

struct Grant {
  SpiffeId id;
  std::string cluster;             // whose authority signs
  std::string node;                // place of its agent (place.h); empty: not known
  std::string requester;           // which credential it was, for the records
  std::optional<Payment> payment;  // the join token that is spent for it
};

// InvalidArgument: the wish is malformed. Unauthenticated: no credential, or one that does not
// hold. PermissionDenied: a good one that may not have this. Unavailable: it may hold, by the keys
// of a cluster that are not known yet. The text says what and why, and nothing that the caller does
// not know.
//
// A service account token is good for as long as it lives, and as often: it is a bearer token whose
// cluster gives it an hour at most and replaces it. Whoever holds it is that pod.
absl::StatusOr<Grant> Decide(const Credential& credential, const Wish& wish,
                             const GrantRules& rules, WallTime now);

}  // namespace tombolo::ca
