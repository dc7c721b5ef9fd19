// SPDX-License-Identifier: Apache-2.0
#include "tls/digest.h"

#include <cstdlib>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "absl/strings/escaping.h"

namespace tombolo::tls {

std::array<std::uint8_t, 32> Sha256(absl::string_view data) {
  std::array<std::uint8_t, 32> digest;
  // Fails only without memory or without OpenSSL's default provider.
  if (EVP_Digest(data.data(), data.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    std::abort();
  }
  return digest;
}

std::string Hex(absl::Span<const std::uint8_t> bytes) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::array<std::uint8_t, 16> Random128() {
  std::array<std::uint8_t, 16> bytes;
  // Guessable identifiers are worse than no process.
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) std::abort();
  return bytes;
}

}  // namespace tombolo::tls
