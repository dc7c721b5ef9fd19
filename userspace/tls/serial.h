// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tombolo::tls {

// A certificate's serial number: 16 octets that read as a positive number (RFC 5280, section
// 4.1.2.2) and always as 32 hexadecimal digits. A plain value.
//
// 126 bits of it are random. Or the first half says to which series it belongs, a digest of that
// series' name, and 64 bits are: then one short text speaks for all that have ever been in it.
class Serial {
 public:
  static Serial Random();
  static Serial RandomOf(absl::string_view series);
  // How the numbers of a series begin, as hex() has them: kSeriesDigits digits.
  static constexpr std::size_t kSeriesDigits = 16;
  static std::string SeriesText(absl::string_view series);
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
