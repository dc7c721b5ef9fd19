// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"
#include "tls/issuer.h"

// Certificate revocation lists (RFC 5280, section 5).
namespace tombolo::tls {

// CRLReason; its numbers are the standard's.
enum class RevocationReason {
  kUnspecified = 0,
  kKeyCompromise = 1,
  kCaCompromise = 2,
  kAffiliationChanged = 3,
  kSuperseded = 4,
  kCessationOfOperation = 5,
  kPrivilegeWithdrawn = 9,
};

struct RevokedCertificate {
  std::string serial;  // 1 to 40 hexadecimal digits
  WallTime when;
  RevocationReason reason = RevocationReason::kUnspecified;
};

struct Crl {
  std::uint64_t number;  // grows with each list of an issuer
  WallTime this_update, next_update;
  std::vector<RevokedCertificate> revoked;
};

// The list signed by `issuer`, DER. Every certificate on it is of that issuer.
absl::StatusOr<std::string> BuildCrl(const Issuer& issuer, const Crl& crl);

absl::StatusOr<std::string> CrlToPem(absl::string_view der);

}  // namespace tombolo::tls
