// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "tls/public_key.h"

// Certificate signing requests (PKCS#10, RFC 2986).
namespace tombolo::tls {

inline constexpr std::size_t kMaxCsrSize = 16 * 1024;

// What a request that has proved possession of its key asks for. Only the key is taken as it is;
// names are wishes, which the authority compares with what the caller may have.
struct Csr {
  PublicKey key;
  std::vector<std::string> uris;  // of the requested subject alternative name; any bytes
  std::string subject;            // RFC 2253, printable and at most 256 bytes: for logs
};

// DER, or one PEM block. InvalidArgument says what is wrong: too large, damaged, followed by more,
// not DER, a key that is weak or unknown (see public_key.h), a signature by a weak algorithm or not
// by that key, malformed or too many names.
absl::StatusOr<Csr> ParseCsr(absl::string_view der_or_pem);

// A request (DER) for `id` by a key (PEM).
absl::StatusOr<std::string> MakeCsr(const std::string& key, const SpiffeId& id);

}  // namespace tombolo::tls
