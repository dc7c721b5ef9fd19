// SPDX-License-Identifier: Apache-2.0
#include "tls/alert.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace tombolo::tls {
namespace {

struct Entry {
  std::uint8_t alert;
  absl::string_view name;
};

constexpr Entry kNames[] = {
    {0, "close_notify"},
    {10, "unexpected_message"},
    {20, "bad_record_mac"},
    {22, "record_overflow"},
    {40, "handshake_failure"},
    {42, "bad_certificate"},
    {43, "unsupported_certificate"},
    {44, "certificate_revoked"},
    {45, "certificate_expired"},
    {46, "certificate_unknown"},
    {47, "illegal_parameter"},
    {48, "unknown_ca"},
    {49, "access_denied"},
    {50, "decode_error"},
    {51, "decrypt_error"},
    {70, "protocol_version"},
    {71, "insufficient_security"},
    {80, "internal_error"},
    {86, "inappropriate_fallback"},
    {90, "user_canceled"},
    {109, "missing_extension"},
    {110, "unsupported_extension"},
    {112, "unrecognized_name"},
    {113, "bad_certificate_status_response"},
    {115, "unknown_psk_identity"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
};

}  // namespace

std::string AlertName(std::uint8_t alert) {
  const auto* entry = std::find_if(std::begin(kNames), std::end(kNames),
                                   [alert](const Entry& e) { return e.alert == alert; });
  const absl::string_view name = entry == std::end(kNames) ? "unknown alert" : entry->name;
  return absl::StrCat(name, " (", int{alert}, ")");
}

}  // namespace tombolo::tls
