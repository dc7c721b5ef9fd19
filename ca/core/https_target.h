// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "net/https_url.h"

namespace tombolo::ca {

// A document of an HTTPS server. A plain value.
struct HttpsTarget {
  net::HttpsUrl server;
  std::string path;  // begins with '/', unless it is empty; with a query, if there is one

  // https://host:port/path?query. InvalidArgument quotes the text and says what is wrong.
  static absl::StatusOr<HttpsTarget> Parse(absl::string_view url);
};

}  // namespace tombolo::ca
