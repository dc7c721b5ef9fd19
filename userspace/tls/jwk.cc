// SPDX-License-Identifier: Apache-2.0
#include "tls/jwk.h"

#include <string>
#include <vector>

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/base64.h"
#include "tls/json.h"
#include "tls/key_impl.h"

namespace tombolo::tls {
namespace {

namespace json = boost::json;

using BuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, Freer<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, Freer<OSSL_PARAM_free>>;
using ContextPtr = std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>>;

constexpr std::size_t kMaxNumber = 2048;  // octets; what is too long for RSA is refused by bits

struct Curve {
  absl::string_view name;
  KeyKind kind;
  std::size_t size;  // octets of a coordinate
};
constexpr Curve kCurves[] = {
    {"P-256", KeyKind::kP256, 32}, {"P-384", KeyKind::kP384, 48}, {"P-521", KeyKind::kP521, 66}};

absl::Status BadKey(absl::string_view what) {
  return OpensslStatus(absl::StatusCode::kInvalidArgument, what);
}

absl::StatusOr<std::string> BytesMember(const json::object& jwk, absl::string_view name) {
  ASSIGN_OR_RETURN(const std::string text, NeedString(jwk, name));
  absl::StatusOr<std::string> bytes = DecodeBase64Url(text);
  if (!bytes.ok() || bytes->size() > kMaxNumber) {
    return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not a base64url number"));
  }
  return bytes;
}

absl::StatusOr<PublicKey> Build(const char* type, OSSL_PARAM_BLD* builder) {
  const ParamsPtr params(OSSL_PARAM_BLD_to_param(builder));
  const ContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* made = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return BadKey(absl::StrCat("not an ", type, " key"));
  }
  const KeyPtr key(made);
  return ToPublicKey(key.get());
}

BignumPtr ToNumber(const std::string& bytes) {
  return BignumPtr(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                             static_cast<int>(bytes.size()), nullptr));
}

absl::StatusOr<PublicKey> RsaKey(const json::object& jwk) {
  ASSIGN_OR_RETURN(const std::string modulus_bytes, BytesMember(jwk, "n"));
  ASSIGN_OR_RETURN(const std::string exponent_bytes, BytesMember(jwk, "e"));
  const BignumPtr modulus = ToNumber(modulus_bytes);
  const BignumPtr exponent = ToNumber(exponent_bytes);
  const BuilderPtr builder(OSSL_PARAM_BLD_new());
  if (OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1) {
    return BadKey("not an RSA key");
  }
  return Build("RSA", builder.get());
}

absl::StatusOr<PublicKey> EcKey(const json::object& jwk) {
  ASSIGN_OR_RETURN(const std::string name, NeedString(jwk, "crv"));
  ASSIGN_OR_RETURN(const std::string x, BytesMember(jwk, "x"));
  ASSIGN_OR_RETURN(const std::string y, BytesMember(jwk, "y"));
  for (const Curve& curve : kCurves) {
    if (name != curve.name) continue;
    if (x.size() != curve.size || y.size() != curve.size) {
      return absl::InvalidArgumentError(absl::StrCat("'x' or 'y' is not of ", name));
    }
    const std::string point = absl::StrCat("\x04", x, y);  // not compressed
    const BuilderPtr builder(OSSL_PARAM_BLD_new());
    if (OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, name.c_str(),
                                        name.size()) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                         point.size()) != 1) {
      return BadKey("not an EC key");
    }
    return Build("EC", builder.get());
  }
  return absl::InvalidArgumentError("'crv' is not P-256, P-384 or P-521");
}

// A number of the key in `size` octets, or in as many as it needs when that is 0.
absl::StatusOr<std::string> NumberOf(const EVP_PKEY* key, const char* param, std::size_t size) {
  BIGNUM* raw = nullptr;
  const bool got = EVP_PKEY_get_bn_param(key, param, &raw) == 1;
  const BignumPtr number(raw);
  if (!got) return BadKey("read public key");
  if (size == 0) size = static_cast<std::size_t>(BN_num_bytes(number.get()));
  std::vector<unsigned char> bytes(size);
  if (BN_bn2binpad(number.get(), bytes.data(), static_cast<int>(size)) < 0) {
    return BadKey("read public key");
  }
  return EncodeBase64Url(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

absl::StatusOr<json::object> Ed25519ToJwk(const EVP_PKEY* key) {
  unsigned char raw[32];
  std::size_t size = sizeof(raw);
  if (EVP_PKEY_get_raw_public_key(key, raw, &size) != 1) return BadKey("read public key");
  return json::object{{"kty", "OKP"},
                      {"crv", "Ed25519"},
                      {"x", EncodeBase64Url({reinterpret_cast<const char*>(raw), size})}};
}

}  // namespace

absl::StatusOr<PublicKey> KeyFromJwk(const json::object& jwk) {
  ASSIGN_OR_RETURN(const std::string type, NeedString(jwk, "kty"));
  if (type == "RSA") return RsaKey(jwk);
  if (type == "EC") return EcKey(jwk);
  return absl::InvalidArgumentError("'kty' is not RSA or EC");
}

absl::StatusOr<json::object> KeyToJwk(const PublicKey& key) {
  ASSIGN_OR_RETURN(const KeyPtr raw, ToKey(key));
  if (key.kind == KeyKind::kEd25519) return Ed25519ToJwk(raw.get());
  if (key.kind == KeyKind::kRsa) {
    ASSIGN_OR_RETURN(const std::string n, NumberOf(raw.get(), OSSL_PKEY_PARAM_RSA_N, 0));
    ASSIGN_OR_RETURN(const std::string e, NumberOf(raw.get(), OSSL_PKEY_PARAM_RSA_E, 0));
    return json::object{{"kty", "RSA"}, {"n", n}, {"e", e}};
  }
  for (const Curve& curve : kCurves) {
    if (curve.kind != key.kind) continue;
    ASSIGN_OR_RETURN(const std::string x,
                     NumberOf(raw.get(), OSSL_PKEY_PARAM_EC_PUB_X, curve.size));
    ASSIGN_OR_RETURN(const std::string y,
                     NumberOf(raw.get(), OSSL_PKEY_PARAM_EC_PUB_Y, curve.size));
    return json::object{{"kty", "EC"},
                        {"crv", json::string_view(curve.name.data(), curve.name.size())},
                        {"x", x},
                        {"y", y}};
  }
  return absl::InternalError("unknown kind of key");
}

}  // namespace tombolo::tls
