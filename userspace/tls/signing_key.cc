// SPDX-License-Identifier: Apache-2.0
#include "tls/signing_key.h"

#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/ui.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/key_impl.h"
#include "tls/pem.h"

namespace tombolo::tls {
namespace {

using StorePtr = std::unique_ptr<OSSL_STORE_CTX, Freer<OSSL_STORE_close>>;
using StoreInfoPtr = std::unique_ptr<OSSL_STORE_INFO, Freer<OSSL_STORE_INFO_free>>;

constexpr int kMaxObjects = 1000;  // that a URI may find

int RefusePassphrase(char*, int, int, void*) { return -1; }

// For the whole process: when the method that it is given has no PIN, a provider asks by OpenSSL's
// default method, which would open the terminal.
UI_METHOD* SilentUi() {
  static UI_METHOD* const method = [] {
    UI_METHOD* silent = UI_UTIL_wrap_read_pem_callback(RefusePassphrase, 0);
    UI_set_default_method(silent);
    return silent;
  }();
  return method;
}

// A key that some other provider holds cannot be asked what OpenSSL's own can. Its public half in
// OpenSSL's own hands can.
absl::StatusOr<PublicKey> PublicHalf(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return OpensslStatus(absl::StatusCode::kInvalidArgument, "has no public half");
  PublicKey raw;
  raw.spki.assign(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  ASSIGN_OR_RETURN(const KeyPtr own, ToKey(raw));
  return ToPublicKey(own.get());
}

absl::StatusOr<std::shared_ptr<const SigningKey::Impl>> NewImpl(KeyPtr key,
                                                                absl::string_view name) {
  absl::StatusOr<PublicKey> public_key = PublicHalf(key.get());
  if (!public_key.ok()) return Annotate(public_key.status(), name);
  auto impl = std::make_shared<SigningKey::Impl>();
  impl->key = std::move(key);
  impl->public_key = *std::move(public_key);
  return impl;
}

// A missing file or token is for the operator to mend, as a missing feature is.
absl::Status StoreError(absl::string_view name, absl::string_view what) {
  return OpensslStatus(absl::StatusCode::kFailedPrecondition, absl::StrCat(name, ": ", what));
}

absl::StatusOr<KeyPtr> LoadOnly(OSSL_STORE_CTX* store, absl::string_view name) {
  KeyPtr key;
  for (int i = 0; i < kMaxObjects && OSSL_STORE_eof(store) == 0; ++i) {
    const StoreInfoPtr info(OSSL_STORE_load(store));
    // Null says little: a file's end may be called an error. What counts is whether a key was
    // found.
    if (info == nullptr || OSSL_STORE_INFO_get_type(info.get()) != OSSL_STORE_INFO_PKEY) continue;
    if (key != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": finds more than one private key"));
    }
    key.reset(OSSL_STORE_INFO_get1_PKEY(info.get()));
  }
  const bool reason = ERR_peek_error() != 0;
  if (key == nullptr && reason) return StoreError(name, "finds no private key");
  ERR_clear_error();
  if (key != nullptr) return key;
  // A provider that was not let in often says nothing.
  return absl::FailedPreconditionError(
      absl::StrCat(name, ": finds no private key (is it there, and is the PIN right?)"));
}

}  // namespace

const EVP_MD* DigestFor(const PublicKey& key) {
  switch (key.kind) {
    case KeyKind::kP384:
      return EVP_sha384();
    case KeyKind::kP521:
      return EVP_sha512();
    case KeyKind::kEd25519:
      return nullptr;
    case KeyKind::kRsa:
    case KeyKind::kP256:
      break;
  }
  return EVP_sha256();
}

absl::StatusOr<SigningKey> SigningKey::FromPem(const std::string& pem, const std::string& name) {
  ASSIGN_OR_RETURN(KeyPtr key, ReadKey(pem, name));
  ASSIGN_OR_RETURN(auto impl, NewImpl(std::move(key), name));
  return SigningKey(std::move(impl));
}

absl::StatusOr<SigningKey> SigningKey::FromUri(const std::string& uri) {
  const std::string name = uri.substr(0, uri.find('?'));
  ERR_clear_error();
  const StorePtr store(OSSL_STORE_open(uri.c_str(), SilentUi(), nullptr, nullptr, nullptr));
  if (store == nullptr) return StoreError(name, "open (does openssl.cnf load its provider?)");
  if (OSSL_STORE_expect(store.get(), OSSL_STORE_INFO_PKEY) != 1) {
    return StoreError(name, "look for private keys");
  }
  ASSIGN_OR_RETURN(KeyPtr key, LoadOnly(store.get(), name));
  ASSIGN_OR_RETURN(auto impl, NewImpl(std::move(key), name));
  return SigningKey(std::move(impl));
}

const PublicKey& SigningKey::public_key() const { return impl_->public_key; }

}  // namespace tombolo::tls
