// SPDX-License-Identifier: Apache-2.0
#include "tls/serial.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tls/digest.h"

namespace tombolo::tls {
namespace {

// The first octet is 0x40 to 0x7f: positive, and no leading zero to lose.
constexpr std::uint8_t kRandomMask = 0x3f;
constexpr std::uint8_t kMark = 0x40;

}  // namespace

Serial Serial::Random() { return FromRandom(Random128()); }

Serial Serial::RandomOf(absl::string_view series) {
  std::array<std::uint8_t, 16> bytes = Random128();
  const std::array<std::uint8_t, 32> digest = Sha256(series);
  std::copy_n(digest.begin(), kSeriesDigits / 2, bytes.begin());
  return FromRandom(bytes);
}

std::string Serial::SeriesText(absl::string_view series) {
  return RandomOf(series).hex().substr(0, kSeriesDigits);
}

Serial Serial::FromRandom(std::array<std::uint8_t, 16> bytes) {
  bytes[0] = static_cast<std::uint8_t>((bytes[0] & kRandomMask) | kMark);
  return Serial(bytes);
}

absl::StatusOr<Serial> Serial::FromHex(absl::string_view hex) {
  std::array<std::uint8_t, 16> bytes;
  const bool digits = std::all_of(hex.begin(), hex.end(), absl::ascii_isxdigit);
  if (hex.size() != 2 * bytes.size() || !digits) {
    return absl::InvalidArgumentError(
        absl::StrCat("serial number '", hex.substr(0, 64), "' is not 32 hexadecimal digits"));
  }
  const std::string raw = absl::HexStringToBytes(hex);
  std::copy(raw.begin(), raw.end(), bytes.begin());
  if ((bytes[0] & ~kRandomMask) != kMark) {
    return absl::InvalidArgumentError(
        absl::StrCat("serial number '", hex, "' does not begin with 4, 5, 6 or 7"));
  }
  return Serial(bytes);
}

std::string Serial::hex() const { return Hex(bytes_); }

}  // namespace tombolo::tls
