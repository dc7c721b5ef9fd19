// SPDX-License-Identifier: Apache-2.0
#include "tls/base64.h"

#include "absl/strings/escaping.h"

namespace tombolo::tls {

// Abseil's decoders forgive; what they forgave is not what the encoder writes.
absl::StatusOr<std::string> DecodeBase64(absl::string_view text) {
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes) || absl::Base64Escape(bytes) != text) {
    return absl::InvalidArgumentError("not base64");
  }
  return bytes;
}

absl::StatusOr<std::string> DecodeBase64Url(absl::string_view text) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(text, &bytes) || EncodeBase64Url(bytes) != text) {
    return absl::InvalidArgumentError("not base64url");
  }
  return bytes;
}

std::string EncodeBase64Url(absl::string_view bytes) { return absl::WebSafeBase64Escape(bytes); }

}  // namespace tombolo::tls
