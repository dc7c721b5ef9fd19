// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// How EST carries certificates: PKCS#7 SignedData that holds certificates and signs nothing
// ("certs-only", RFC 7030, section 4.1.3), as base64 in the body of an HTTP message.
namespace tombolo::tls {

inline constexpr std::size_t kMaxPkcs7Size = 256 * 1024;

// The certificates of a PEM text in DER, as they are: nothing is looked at. Their order is lost:
// they are a set. `name` is the file that errors mention.
absl::StatusOr<std::string> MakeCertsOnly(const std::string& certificates, const std::string& name);

// The certificates (1 to 64) as PEM: a leaf first, then what issued it, and so on up; then the
// rest in the same manner. Nothing is verified. InvalidArgument for all that is not certs-only.
absl::StatusOr<std::string> ReadCertsOnly(absl::string_view der);

// The body of a message: base64 in lines of 64 (RFC 8951 allows white space, and `openssl base64
// -d` needs it). The decoder takes white space anywhere (RFC 8951, section 3.1) and is strict
// otherwise; `max_size` bounds what it gives.
std::string EncodeBody(absl::string_view der);
absl::StatusOr<std::string> DecodeBody(absl::string_view body, std::size_t max_size);

}  // namespace tombolo::tls
