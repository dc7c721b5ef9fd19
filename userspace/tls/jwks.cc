// SPDX-License-Identifier: Apache-2.0
#include "tls/jwks.h"

#include <optional>
#include <utility>

#include <boost/json/array.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/json.h"
#include "tls/jwk.h"

namespace tombolo::tls {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxKeys = 64;
constexpr std::size_t kMaxName = 256;

absl::Status Bad(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("JWKS: ", why));
}

absl::StatusOr<JwtKeys::Key> ReadKey(const json::object& jwk) {
  ASSIGN_OR_RETURN(const std::optional<std::string> use, StringMember(jwk, "use"));
  if (use && *use != "sig") return absl::InvalidArgumentError("is not for signatures");
  ASSIGN_OR_RETURN(const std::optional<std::string> algorithm, StringMember(jwk, "alg"));
  ASSIGN_OR_RETURN(PublicKey key, KeyFromJwk(jwk));
  return JwtKeys::Key{.key = std::move(key), .algorithm = algorithm.value_or("")};
}

}  // namespace

absl::StatusOr<JwtKeys> JwtKeys::Parse(absl::string_view jwks) {
  if (jwks.size() > kMaxJwksSize) return Bad(absl::StrCat("larger than ", kMaxJwksSize, " bytes"));
  const absl::StatusOr<json::object> document = ParseJsonObject(jwks);
  if (!document.ok()) return Bad(document.status().message());
  const absl::StatusOr<const json::array*> entries = ArrayMember(*document, "keys");
  if (!entries.ok()) return Bad(entries.status().message());
  if (*entries == nullptr) return Bad("no 'keys'");
  if ((*entries)->size() > kMaxKeys) return Bad(absl::StrCat("more than ", kMaxKeys, " keys"));
  JwtKeys keys;
  for (const json::value& entry : **entries) {
    const json::object* jwk = entry.if_object();
    if (jwk == nullptr) return Bad("a key is not an object");
    const absl::StatusOr<std::string> kid = NeedString(*jwk, "kid");
    if (!kid.ok() || kid->size() > kMaxName) continue;  // no token can name it
    if (!keys.keys_.emplace(*kid, ReadKey(*jwk)).second) {
      return Bad(absl::StrCat("two keys are called '", absl::CHexEscape(*kid), "'"));
    }
  }
  // None at all is an answer: the issuer has withdrawn them.
  if (keys.keys_.empty() && !(*entries)->empty()) return Bad("no key with a 'kid'");
  return keys;
}

absl::StatusOr<JwtKeys::Key> JwtKeys::Find(const std::string& kid) const {
  const auto found = keys_.find(kid);
  // An unverified text: no control characters into logs, and not at any length.
  const std::string name = absl::CHexEscape(kid.substr(0, 64));
  if (found == keys_.end()) {
    return absl::NotFoundError(absl::StrCat("no key '", name, "' is known"));
  }
  if (found->second.ok()) return found->second;
  return absl::UnauthenticatedError(
      absl::StrCat("key '", name, "' cannot be used: ", found->second.status().message()));
}

}  // namespace tombolo::tls
