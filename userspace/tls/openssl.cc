// SPDX-License-Identifier: Apache-2.0
#include "tls/openssl.h"

#include <algorithm>
#include <ctime>

#include <openssl/err.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace tombolo::tls {

absl::Status OpensslStatus(absl::StatusCode code, absl::string_view what) {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(error);
  return absl::Status(
      code, absl::StrCat(what, ": ", reason == nullptr ? "OpenSSL gave no reason" : reason));
}

BioPtr ReadOnlyBio(absl::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

WallTime ToWallTime(const ASN1_TIME* time) {
  std::tm fields{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &fields) != 1) return WallTime::min();
  // Some never end: that is written as the last second of the year 9999, which is no WallTime. Nor
  // is what was before 1677.
  const auto first = std::chrono::system_clock::to_time_t(WallTime::min());
  const auto last = std::chrono::system_clock::to_time_t(WallTime::max());
  return std::chrono::system_clock::from_time_t(std::clamp(timegm(&fields), first, last));
}

std::string SerialHex(const X509* certificate) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate);
  const BignumPtr number(ASN1_INTEGER_to_BN(serial, nullptr));
  if (number == nullptr) return "";
  char* hex = BN_bn2hex(number.get());
  std::string text = hex == nullptr ? "" : hex;
  OPENSSL_free(hex);
  return absl::AsciiStrToLower(text);
}

}  // namespace tombolo::tls
