// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tombolo::tls {

// The keys that may be certified. RSA has 2048 to 8192 bits.
enum class KeyKind { kRsa, kP256, kP384, kP521, kEd25519 };
absl::string_view Name(KeyKind kind);  // "RSA", "P-256", ..., "Ed25519"

// The SHA-256 of a SubjectPublicKeyInfo. Names a key whatever certificate it is in.
using KeyId = std::array<std::uint8_t, 32>;

// A public key that has been checked: of a known kind, and strong enough. A plain value.
struct PublicKey {
  std::string spki;  // DER, SubjectPublicKeyInfo
  KeyKind kind = KeyKind::kP256;

  KeyId id() const;
  friend bool operator==(const PublicKey&, const PublicKey&) = default;
};

// From the DER of a SubjectPublicKeyInfo. InvalidArgument says what is wrong with the key.
absl::StatusOr<PublicKey> ParsePublicKey(absl::string_view spki);

// Of the first certificate of a PEM text. `name` is the file that errors mention.
absl::StatusOr<PublicKey> PublicKeyOf(const std::string& certificate, const std::string& name);

}  // namespace tombolo::tls
