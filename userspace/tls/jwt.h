// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"
#include "tls/jwks.h"

// Service account tokens of Kubernetes: JSON Web Tokens (RFC 7519) as compact JWS (RFC 7515).
//
// Debian's libjwt is not used: it takes keys in PEM only, so a JWK would pass through OpenSSL
// anyway, and it chooses the algorithm by the token's header. What is left of the work is one call
// of OpenSSL and the claims.
namespace tombolo::tls {

inline constexpr std::size_t kMaxTokenSize = 16 * 1024;

// What a verified token says. A name that is empty was not in it.
struct ServiceAccountToken {
  std::string issuer, subject;
  std::vector<std::string> audiences;
  std::string id;  // jti
  WallTime expires;
  std::string ns, service_account, service_account_uid;
  std::string pod_name, pod_uid;
  std::string node_name, node_uid;  // from Kubernetes 1.30 on
};

struct TokenRules {
  std::string issuer;    // exactly this
  std::string audience;  // one of the token's
  std::chrono::seconds skew{30};
};

// The token's claims if a key of `keys` signed it (RS256, RS384, RS512, ES256 or ES384, and never
// by a key of another kind), it is for `rules`, and its time is now. Else the code says what to do:
// InvalidArgument, it is malformed; NotFound, its key is not in `keys`, which may be out of date;
// Unauthenticated, it is not good: signature, issuer, audience, time, or a claim that is missing.
absl::StatusOr<ServiceAccountToken> VerifyServiceAccountToken(
    absl::string_view token, const JwtKeys& keys, const TokenRules& rules,
    WallTime now = std::chrono::system_clock::now());

// Who a token says it is from: to find the keys to verify it with. Proves nothing.
absl::StatusOr<std::string> UnverifiedIssuer(absl::string_view token);

}  // namespace tombolo::tls
