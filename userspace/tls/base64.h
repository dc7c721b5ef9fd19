// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// RFC 4648, strictly: one text for each sequence of bytes and nothing beside it, neither white
// space nor bits that are not used. Internal to tls.
namespace tombolo::tls {

absl::StatusOr<std::string> DecodeBase64(absl::string_view text);     // section 4, padded
absl::StatusOr<std::string> DecodeBase64Url(absl::string_view text);  // section 5, not padded
std::string EncodeBase64Url(absl::string_view bytes);                 // not padded

}  // namespace tombolo::tls
