// SPDX-License-Identifier: Apache-2.0
#include "tls/trust_store.h"

#include <utility>

#include <openssl/err.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/pem.h"

namespace tombolo::tls {

absl::Status AddRoots(X509_STORE* store, const std::string& roots, const std::string& name) {
  ASSIGN_OR_RETURN(const X509StackPtr certificates, ReadCertificates(roots, name));
  for (int i = 0; i < sk_X509_num(certificates.get()); ++i) {
    if (X509_STORE_add_cert(store, sk_X509_value(certificates.get(), i)) != 1) {
      return OpensslStatus(absl::StatusCode::kInvalidArgument, absl::StrCat(name, ": add root"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const TrustAnchors>> TrustAnchors::Parse(
    absl::string_view text, absl::string_view trust_domain, std::string name) {
  ASSIGN_OR_RETURN(TrustBundle bundle, ParseTrustBundle(text, trust_domain, name));
  return Of(std::move(bundle), std::move(name));
}

absl::StatusOr<std::shared_ptr<const TrustAnchors>> TrustAnchors::Of(TrustBundle bundle,
                                                                     std::string name) {
  ERR_clear_error();
  auto impl = std::make_unique<Impl>();
  impl->store.reset(X509_STORE_new());
  if (impl->store == nullptr) return OpensslStatus(absl::StatusCode::kInternal, "X509_STORE_new");
  RETURN_IF_ERROR(AddRoots(impl->store.get(), bundle.roots, name));
  X509_STORE_set_flags(impl->store.get(), X509_V_FLAG_X509_STRICT);
  for (const TrustBundle& other : bundle.federated) {
    X509StackPtr& roots = impl->federated[other.trust_domain].roots;
    ASSIGN_OR_RETURN(roots, ReadCertificates(other.roots, name));
  }
  return std::shared_ptr<const TrustAnchors>(
      new TrustAnchors(std::move(bundle), std::move(name), std::move(impl)));
}

TrustAnchors::TrustAnchors(TrustBundle bundle, std::string name, std::unique_ptr<Impl> impl)
    : bundle_(std::move(bundle)), name_(std::move(name)), impl_(std::move(impl)) {
  for (const TrustBundle& other : bundle_.federated) {
    impl_->federated[other.trust_domain].bundle = &other;
  }
}
TrustAnchors::~TrustAnchors() = default;

}  // namespace tombolo::tls
