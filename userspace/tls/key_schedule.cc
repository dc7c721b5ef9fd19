// SPDX-License-Identifier: Apache-2.0
#include "tls/key_schedule.h"

#include <string>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/openssl.h"

namespace tombolo::tls {
namespace {

using KdfPtr = std::unique_ptr<EVP_KDF, Freer<EVP_KDF_free>>;
using KdfCtxPtr = std::unique_ptr<EVP_KDF_CTX, Freer<EVP_KDF_CTX_free>>;

OSSL_PARAM Octets(const char* key, const void* data, std::size_t size) {
  return OSSL_PARAM_construct_octet_string(key, const_cast<void*>(data), size);
}

// HKDF-Expand-Label(secret, label, "", out.size()), RFC 8446, section 7.1.
absl::Status ExpandLabel(const char* digest, const Secret& secret, absl::string_view label,
                         absl::Span<std::uint8_t> out) {
  static const KdfPtr kdf(EVP_KDF_fetch(nullptr, "TLS13-KDF", nullptr));
  const KdfCtxPtr context(EVP_KDF_CTX_new(kdf.get()));
  if (context == nullptr) return OpensslStatus(absl::StatusCode::kInternal, "TLS13-KDF");
  constexpr absl::string_view kPrefix = "tls13 ";
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(digest), 0),
      Octets(OSSL_KDF_PARAM_KEY, secret.bytes().data(), secret.bytes().size()),
      Octets(OSSL_KDF_PARAM_PREFIX, kPrefix.data(), kPrefix.size()),
      Octets(OSSL_KDF_PARAM_LABEL, label.data(), label.size()),
      OSSL_PARAM_construct_end(),
  };
  if (EVP_KDF_derive(context.get(), out.data(), out.size(), params) != 1) {
    return OpensslStatus(absl::StatusCode::kInternal, absl::StrCat("derive '", label, "'"));
  }
  return absl::OkStatus();
}

// The hash of a suite, whose length is that of its secrets.
absl::StatusOr<const char*> DigestOf(Suite suite, const Secret& secret) {
  const bool sha384 = suite == Suite::kAes256GcmSha384;
  if (secret.bytes().size() != (sha384 ? 48 : 32)) {
    return absl::InternalError(absl::StrCat("traffic secret of ", secret.bytes().size(), " bytes"));
  }
  return sha384 ? "SHA2-384" : "SHA2-256";
}

}  // namespace

absl::StatusOr<Suite> SuiteFromNumber(std::uint16_t number) {
  switch (static_cast<Suite>(number)) {
    case Suite::kAes128GcmSha256:
    case Suite::kAes256GcmSha384:
    case Suite::kChaCha20Poly1305Sha256:
      return static_cast<Suite>(number);
  }
  return absl::InvalidArgumentError(absl::StrCat("cipher suite 0x", absl::Hex(number)));
}

TrafficKey::~TrafficKey() {
  OPENSSL_cleanse(key.data(), key.size());
  OPENSSL_cleanse(iv.data(), iv.size());
}

absl::StatusOr<TrafficKey> DeriveTrafficKey(Suite suite, const Secret& secret) {
  ASSIGN_OR_RETURN(const char* digest, DigestOf(suite, secret));
  TrafficKey key;
  key.suite = suite;
  key.key_size = suite == Suite::kAes128GcmSha256 ? 16 : 32;
  RETURN_IF_ERROR(ExpandLabel(digest, secret, "key", absl::MakeSpan(key.key).first(key.key_size)));
  RETURN_IF_ERROR(ExpandLabel(digest, secret, "iv", absl::MakeSpan(key.iv)));
  return key;
}

absl::StatusOr<Secret> NextSecret(Suite suite, const Secret& secret) {
  ASSIGN_OR_RETURN(const char* digest, DigestOf(suite, secret));
  std::array<std::uint8_t, Secret::kMaxSize> bytes;
  const auto next = absl::MakeSpan(bytes).first(secret.bytes().size());
  const absl::Cleanup wipe = [&] { OPENSSL_cleanse(bytes.data(), bytes.size()); };
  RETURN_IF_ERROR(ExpandLabel(digest, secret, "traffic upd", next));
  return Secret(next);
}

}  // namespace tombolo::tls
