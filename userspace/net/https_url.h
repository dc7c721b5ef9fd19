// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tombolo::net {

// Where an HTTPS server is. A plain value.
struct HttpsUrl {
  std::string host;  // a DNS name or an address, without brackets
  std::uint16_t port = 443;

  // https://ca.example, https://10.0.0.1:8443, https://[fd00::1]:8443/. There is no user, path or
  // query. InvalidArgument quotes the text and says what is wrong.
  static absl::StatusOr<HttpsUrl> Parse(absl::string_view text);
  std::string authority() const;  // what HTTP calls it: host:port
  std::string ToString() const;

  friend bool operator==(const HttpsUrl&, const HttpsUrl&) = default;
};

}  // namespace tombolo::net
