// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tombolo::tls {

// Alert descriptions (RFC 8446, section 6) that this module sends or treats in
// their own way.
enum Alert : std::uint8_t {
  kCloseNotify = 0,
  kUnexpectedMessage = 10,
  kBadRecordMac = 20,
  kRecordOverflow = 22,
  kIllegalParameter = 47,
  kDecodeError = 50,
  kProtocolVersion = 70,
  kUserCanceled = 90,
  kMissingExtension = 109,
  kUnrecognizedName = 112,
  kNoApplicationProtocol = 120,
};

inline constexpr std::uint8_t kAlertWarning = 1;
inline constexpr std::uint8_t kAlertFatal = 2;

// "certificate_required (116)", in the RFC's words.
std::string AlertName(std::uint8_t alert);

}  // namespace tombolo::tls
