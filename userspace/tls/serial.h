// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tombolo::tls {

// A certificate's serial number: 16 octets that read as a positive number (RFC 5280, section
// 4.1.2.2) and always as 32 hexadecimal digits, 126 bits of them random. A plain value.
class Serial {
 public:
  static Serial Random();
  // Of 16 random bytes; two bits are set as the rules above ask.
  static Serial FromRandom(std::array<std::uint8_t, 16> bytes);
  // What hex() gave.
  static absl::StatusOr<Serial> FromHex(absl::string_view hex);

  std::string hex() const;  // lower case
  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }

  friend bool operator==(const Serial&, const Serial&) = default;
  friend auto operator<=>(const Serial&, const Serial&) = default;

 private:
  explicit Serial(std::array<std::uint8_t, 16> bytes) : bytes_(bytes) {}

  std::array<std::uint8_t, 16> bytes_;
};

}  // namespace tombolo::tls
