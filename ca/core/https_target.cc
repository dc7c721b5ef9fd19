// SPDX-License-Identifier: Apache-2.0
#include "core/https_target.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kMaxUrl = 2048;
constexpr absl::string_view kScheme = "https://";

// What a request line cannot carry, or what would be cut off before it.
bool IsBad(char c) { return !absl::ascii_isgraph(static_cast<unsigned char>(c)) || c == '#'; }

}  // namespace

absl::StatusOr<HttpsTarget> HttpsTarget::Parse(absl::string_view url) {
  if (url.size() > kMaxUrl || std::any_of(url.begin(), url.end(), IsBad)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", absl::CHexEscape(url.substr(0, 80)), "' is not a URL of a document"));
  }
  const std::size_t slash = url.find('/', std::min(kScheme.size(), url.size()));
  HttpsTarget target;
  ASSIGN_OR_RETURN(target.server, net::HttpsUrl::Parse(url.substr(0, slash)));
  if (slash != url.npos) target.path = std::string(url.substr(slash));
  return target;
}

}  // namespace tombolo::ca
