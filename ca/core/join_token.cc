// SPDX-License-Identifier: Apache-2.0
#include "core/join_token.h"

#include <algorithm>
#include <array>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/place.h"
#include "tls/digest.h"

namespace tombolo::ca {

std::string NewJoinToken() {
  std::array<char, 32> bytes;
  for (int half = 0; half < 2; ++half) {
    const auto random = tls::Random128();
    std::copy(random.begin(), random.end(), bytes.begin() + half * 16);
  }
  std::string text = absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size()));
  text.resize(absl::StripSuffix(text, "=").size());
  return absl::StrCat(kJoinTokenPrefix, text);
}

bool IsJoinToken(absl::string_view text) { return absl::StartsWith(text, kJoinTokenPrefix); }

std::string JoinTokenDigest(absl::string_view text) { return DigestHex(text); }

absl::StatusOr<Token> MakeTokenRecord(absl::string_view text, const SpiffeId& id,
                                      absl::string_view trust_domain, WallTime expires) {
  const bool agent = !PlaceOf(id).empty();
  if (id.trust_domain() != trust_domain ||
      (!agent && id.name().kind != SpiffeId::Kind::kWorkload)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", id.text(), "' is neither a node, a gateway nor a workload of trust ",
                     "domain '", trust_domain, "'"));
  }
  return Token{.digest = JoinTokenDigest(text),
               .kind = agent ? Kind::kNode : Kind::kWorkload,
               .subject = id.text(),
               .expires = expires};
}

}  // namespace tombolo::ca
