// SPDX-License-Identifier: Apache-2.0
#include "tls/trust_store.h"

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

absl::StatusOr<X509StorePtr> NewTrustStore(const TrustBundle& bundle, const std::string& name) {
  X509StorePtr store(X509_STORE_new());
  if (store == nullptr) return OpensslStatus(absl::StatusCode::kInternal, "X509_STORE_new");
  RETURN_IF_ERROR(AddRoots(store.get(), bundle.roots, name));
  X509_STORE_set_flags(store.get(), X509_V_FLAG_X509_STRICT);
  return store;
}

}  // namespace tombolo::tls
