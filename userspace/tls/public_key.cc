// SPDX-License-Identifier: Apache-2.0
#include "tls/public_key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/digest.h"
#include "tls/key_impl.h"
#include "tls/pem.h"

namespace tombolo::tls {
namespace {

constexpr int kMinRsaBits = 2048;
// Every verifier pays for a longer one, and nobody needs it.
constexpr int kMaxRsaBits = 8192;
constexpr unsigned long kMinRsaExponent = 65537;
constexpr int kMaxRsaExponentBits = 32;
constexpr std::size_t kMaxSpkiSize = 4096;

struct Curve {
  absl::string_view group;  // OpenSSL's name
  KeyKind kind;
};
constexpr Curve kCurves[] = {
    {"prime256v1", KeyKind::kP256}, {"secp384r1", KeyKind::kP384}, {"secp521r1", KeyKind::kP521}};

absl::Status BadKey(absl::string_view why) {
  ERR_clear_error();
  return absl::InvalidArgumentError(why);
}

absl::Status CheckRsa(const EVP_PKEY* key) {
  const int bits = EVP_PKEY_get_bits(key);
  if (bits < kMinRsaBits || bits > kMaxRsaBits) {
    return BadKey(
        absl::StrCat("RSA key has ", bits, " bits, must have ", kMinRsaBits, " to ", kMaxRsaBits));
  }
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &number) != 1) {
    return BadKey("RSA key has no exponent");
  }
  const BignumPtr exponent(number);
  const bool small = BN_get_word(exponent.get()) < kMinRsaExponent;  // all ones when it is larger
  if (small || !BN_is_odd(exponent.get()) || BN_num_bits(exponent.get()) > kMaxRsaExponentBits) {
    return BadKey("RSA key has an exponent that is even, below 65537 or above 32 bits");
  }
  return absl::OkStatus();
}

absl::StatusOr<KeyKind> CheckEc(EVP_PKEY* key) {
  char text[32] = "";
  std::size_t size = 0;
  // Parameters written out may be those of a weak curve under a known name.
  if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, text, sizeof(text), &size) !=
          1 ||
      absl::string_view(text) != OSSL_PKEY_EC_ENCODING_GROUP) {
    return BadKey("EC key has explicit curve parameters");
  }
  size = 0;
  if (EVP_PKEY_get_group_name(key, text, sizeof(text), &size) != 1) {
    return BadKey("EC key is on an unknown curve");
  }
  for (const Curve& curve : kCurves) {
    if (curve.group != text) continue;
    const std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>> context(
        EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
    if (context == nullptr || EVP_PKEY_public_check(context.get()) != 1) {
      return BadKey("EC key is not a valid point of its curve");
    }
    return curve.kind;
  }
  return BadKey(absl::StrCat("EC key is on curve ", text, ", must be on P-256, P-384 or P-521"));
}

absl::StatusOr<KeyKind> CheckKind(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "EC")) return CheckEc(key);
  if (EVP_PKEY_is_a(key, "ED25519")) return KeyKind::kEd25519;
  if (!EVP_PKEY_is_a(key, "RSA")) {
    const char* name = EVP_PKEY_get0_type_name(key);
    return BadKey(absl::StrCat("key is of kind ", name == nullptr ? "unknown" : name,
                               ", must be RSA, EC or Ed25519"));
  }
  RETURN_IF_ERROR(CheckRsa(key));
  return KeyKind::kRsa;
}

}  // namespace

absl::string_view Name(KeyKind kind) {
  constexpr absl::string_view kNames[] = {"RSA", "P-256", "P-384", "P-521", "Ed25519"};
  return kNames[static_cast<std::size_t>(kind)];
}

KeyId PublicKey::id() const { return Sha256(spki); }

absl::StatusOr<PublicKey> ToPublicKey(EVP_PKEY* key) {
  if (key == nullptr) return BadKey("unknown or damaged key");
  PublicKey result;
  ASSIGN_OR_RETURN(result.kind, CheckKind(key));
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return OpensslStatus(absl::StatusCode::kInvalidArgument, "write public key");
  result.spki.assign(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return result;
}

absl::StatusOr<KeyPtr> ToKey(const PublicKey& key) {
  const auto* data = reinterpret_cast<const unsigned char*>(key.spki.data());
  const auto* end = data + key.spki.size();
  KeyPtr result(d2i_PUBKEY(nullptr, &data, static_cast<long>(key.spki.size())));
  if (result == nullptr || data != end) {
    return OpensslStatus(absl::StatusCode::kInvalidArgument, "public key is not valid DER");
  }
  return result;
}

KeyId KeyIdOf(const X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return {};  // the digest of no key
  const KeyId id =
      Sha256(absl::string_view(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  return id;
}

absl::StatusOr<PublicKey> ParsePublicKey(absl::string_view spki) {
  if (spki.size() > kMaxSpkiSize) return BadKey("public key is larger than 4 KiB");
  ASSIGN_OR_RETURN(const KeyPtr key, ToKey({.spki = std::string(spki)}));
  ASSIGN_OR_RETURN(PublicKey result, ToPublicKey(key.get()));
  if (result.spki != spki) return BadKey("public key is not in canonical DER");
  return result;
}

absl::StatusOr<PublicKey> PublicKeyOf(const std::string& certificate, const std::string& name) {
  ASSIGN_OR_RETURN(const X509StackPtr chain, ReadCertificates(certificate, name));
  absl::StatusOr<PublicKey> result = ToPublicKey(X509_get0_pubkey(sk_X509_value(chain.get(), 0)));
  if (!result.ok()) return Annotate(result.status(), name);
  return result;
}

}  // namespace tombolo::tls
