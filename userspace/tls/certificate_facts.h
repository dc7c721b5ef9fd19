// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tls/public_key.h"
#include "tls/validity.h"

namespace tombolo::tls {

// What a certificate says, whoever has made it. A plain value.
struct CertificateFacts {
  std::string serial;  // lower-case hex, in pairs: of one that was made elsewhere up to 40 digits
  Validity validity;
  KeyId key;                              // of its public key
  std::array<std::uint8_t, 32> digest{};  // SHA-256 of its DER
};

// Of every certificate of a PEM text, in order; at least one. `name` is the file that errors
// mention. Says nothing about whether any of it is to be believed.
absl::StatusOr<std::vector<CertificateFacts>> FactsOf(const std::string& pem,
                                                      const std::string& name);

}  // namespace tombolo::tls
