// SPDX-License-Identifier: Apache-2.0
#include "tls/credentials.h"

#include <utility>

#include <openssl/err.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/credentials_impl.h"
#include "tls/handshake_failure.h"
#include "tls/key_impl.h"
#include "tls/pem.h"
#include "tls/ssl_context.h"
#include "tls/svid.h"
#include "tls/trust_bundle.h"
#include "tls/trust_store.h"

namespace tombolo::tls {
namespace {

absl::Status FileError(absl::string_view name, absl::string_view what) {
  return OpensslStatus(absl::StatusCode::kInvalidArgument, absl::StrCat(name, ": ", what));
}

// The same judgement that a peer will make.
absl::Status VerifyOwn(X509_STORE* store, STACK_OF(X509) * chain, const TrustBundle& bundle) {
  const X509StoreCtxPtr context(X509_STORE_CTX_new());
  if (context == nullptr ||
      X509_STORE_CTX_init(context.get(), store, sk_X509_value(chain, 0), chain) != 1 ||
      X509_STORE_CTX_set_default(context.get(), "ssl_server") != 1) {
    return OpensslStatus(absl::StatusCode::kInternal, "verify certificate");
  }
  return VerifyChain(context.get(), bundle).status();
}

absl::StatusOr<SslCtxPtr> NewRoleContext(bool server, STACK_OF(X509) * chain, EVP_PKEY* key,
                                         X509_STORE* store) {
  ASSIGN_OR_RETURN(SslCtxPtr context, NewContext(server));
  const X509StackPtr above(X509_chain_up_ref(chain));
  const X509Ptr leaf(sk_X509_shift(above.get()));
  if (SSL_CTX_use_cert_and_key(context.get(), leaf.get(), key, above.get(),
                               /*override=*/1) != 1) {
    return OpensslStatus(absl::StatusCode::kInvalidArgument, "use certificate and key");
  }
  SSL_CTX_set1_cert_store(context.get(), store);
  return context;
}

bool IsTainted(const STACK_OF(X509) * chain, const TrustBundle& bundle) {
  return sk_X509_num(chain) > 1 && bundle.tainted.contains(KeyIdOf(sk_X509_value(chain, 1)));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Credentials>> Credentials::FromPem(const Pem& pem) {
  return FromPem(pem, nullptr);
}

absl::StatusOr<std::shared_ptr<const Credentials>> Credentials::FromPem(const Pem& pem,
                                                                        TrustAnchorsPtr trust) {
  ERR_clear_error();
  ASSIGN_OR_RETURN(const X509StackPtr chain, ReadCertificates(pem.chain, pem.chain_name));
  ASSIGN_OR_RETURN(const KeyPtr key, ReadKey(pem.key, pem.key_name));
  X509* leaf = sk_X509_value(chain.get(), 0);
  if (X509_check_private_key(leaf, key.get()) != 1) {
    return FileError(pem.key_name, absl::StrCat("not the key of ", pem.chain_name));
  }
  auto impl = std::make_unique<Impl>();
  absl::StatusOr<SpiffeId> id = LeafIdentity(leaf);
  if (!id.ok()) return Annotate(id.status(), pem.chain_name);
  impl->id = *std::move(id);
  if (trust == nullptr) {
    ASSIGN_OR_RETURN(trust,
                     TrustAnchors::Parse(pem.bundle, impl->id.trust_domain(), pem.bundle_name));
  }
  X509_STORE* const store = trust->impl().store.get();
  if (absl::Status own = VerifyOwn(store, chain.get(), trust->bundle()); !own.ok()) {
    return Annotate(own, absl::StrCat(pem.chain_name, ": against ", trust->name()));
  }
  ASSIGN_OR_RETURN(impl->client, NewRoleContext(false, chain.get(), key.get(), store));
  ASSIGN_OR_RETURN(impl->server, NewRoleContext(true, chain.get(), key.get(), store));
  impl->not_before = ToWallTime(X509_get0_notBefore(leaf));
  impl->not_after = ToWallTime(X509_get0_notAfter(leaf));
  impl->serial = SerialHex(leaf);
  impl->tainted = IsTainted(chain.get(), trust->bundle());
  impl->trust = std::move(trust);
  return std::shared_ptr<const Credentials>(new Credentials(std::move(impl)));
}

Credentials::Credentials(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Credentials::~Credentials() = default;
const SpiffeId& Credentials::id() const { return impl_->id; }
WallTime Credentials::not_before() const { return impl_->not_before; }
WallTime Credentials::not_after() const { return impl_->not_after; }
std::string Credentials::serial() const { return impl_->serial; }
bool Credentials::tainted() const { return impl_->tainted; }
const TrustAnchorsPtr& Credentials::trust() const { return impl_->trust; }

}  // namespace tombolo::tls
