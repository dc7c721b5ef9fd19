// SPDX-License-Identifier: Apache-2.0
// A service account token, its claims, and a cluster's document of keys. The first byte says which:
// a token as it comes is refused, as nobody guesses a signature; claims are signed here, so that
// they get as far as a cluster in wrong hands could bring them.
#include <cstdlib>

#include <boost/json/serialize.hpp>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "absl/strings/str_cat.h"
#include "tls/base64.h"
#include "tls/jwk.h"
#include "tls/jwt.h"
#include "tls/key_impl.h"

namespace {

namespace tls = tombolo::tls;

const tls::TokenRules kRules{.issuer = "https://test", .audience = "ca"};
const tombolo::WallTime kNow{std::chrono::seconds(1800000000)};

EVP_PKEY* Key() {
  static const tls::KeyPtr key(EVP_EC_gen("P-256"));
  return key.get();
}

const tls::JwtKeys& Keys() {
  static const tls::JwtKeys keys = [] {
    boost::json::object jwk = *tls::KeyToJwk(*tls::ToPublicKey(Key()));
    jwk["kid"] = "k";
    return *tls::JwtKeys::Parse(
        boost::json::serialize(boost::json::object{{"keys", boost::json::array{jwk}}}));
  }();
  return keys;
}

std::string Sign(absl::string_view claims) {
  const std::string text = absl::StrCat(tls::EncodeBase64Url(R"({"alg":"ES256","kid":"k"})"), ".",
                                        tls::EncodeBase64Url(claims));
  unsigned char der[128];
  std::size_t size = sizeof(der);
  const std::unique_ptr<EVP_MD_CTX, tls::Freer<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, Key()) != 1 ||
      EVP_DigestSign(context.get(), der, &size, reinterpret_cast<const unsigned char*>(text.data()),
                     text.size()) != 1) {
    std::abort();
  }
  const unsigned char* at = der;
  const std::unique_ptr<ECDSA_SIG, tls::Freer<ECDSA_SIG_free>> numbers(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
  unsigned char raw[64];
  BN_bn2binpad(ECDSA_SIG_get0_r(numbers.get()), raw, 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(numbers.get()), raw + 32, 32);
  return absl::StrCat(text, ".",
                      tls::EncodeBase64Url({reinterpret_cast<const char*>(raw), sizeof(raw)}));
}

void CheckClaims(absl::string_view claims) {
  const auto token = tls::VerifyServiceAccountToken(Sign(claims), Keys(), kRules, kNow);
  if (!token.ok()) return;
  if (token->issuer != kRules.issuer || token->ns.empty() || token->service_account.empty() ||
      token->expires + kRules.skew <= kNow) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'c':
      CheckClaims(text);
      break;
    case 'k':
      if (const auto keys = tls::JwtKeys::Parse(text); keys.ok()) (void)keys->Find("k");
      break;
    default:
      (void)tls::UnverifiedIssuer(text);
      if (tls::VerifyServiceAccountToken(text, Keys(), kRules, kNow).ok()) std::abort();
  }
  ERR_clear_error();
  return 0;
}
