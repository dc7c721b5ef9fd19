// SPDX-License-Identifier: Apache-2.0
#include "tls/certificate_builder.h"

#include <utility>

#include <openssl/ec.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/issuer_impl.h"
#include "tls/key_impl.h"
#include "tls/pem.h"
#include "tls/svid.h"
#include "tls/x509_builder.h"

namespace tombolo::tls {
namespace {

constexpr int kAuthLevel = 2;  // as in handshakes: 112 bits, no SHA-1

absl::Status Bad(absl::string_view name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", why));
}

// What the certificate of an intermediate itself has to say.
absl::Status CheckOwn(X509* own, const ForeignIntermediate& foreign) {
  if (KeyIdOf(own) != foreign.key.public_key().id()) {
    return Bad(foreign.chain_name, "is not the certificate of the signing key");
  }
  if (const absl::Status signer = CheckSigner(own, foreign.trust_domain); !signer.ok()) {
    return Bad(foreign.chain_name, signer.message());
  }
  if (!(X509_get_key_usage(own) & KU_CRL_SIGN)) {
    return Bad(foreign.chain_name, "signing certificate lacks cRLSign");
  }
  if (X509_get_pathlen(own) != 0) {
    return Bad(foreign.chain_name, "signing certificate's path length constraint is not 0");
  }
  constexpr std::uint32_t kBoth = XKU_SSL_SERVER | XKU_SSL_CLIENT;
  const std::uint32_t flags = X509_get_extension_flags(own);
  if ((flags & EXFLAG_XKUSAGE) && (X509_get_extended_key_usage(own) & kBoth) != kBoth) {
    return Bad(foreign.chain_name, "extended key usage lacks serverAuth or clientAuth");
  }
  return absl::OkStatus();
}

absl::Status VerifyUpward(STACK_OF(X509) * chain, const ForeignIntermediate& foreign) {
  ASSIGN_OR_RETURN(const X509StackPtr roots, ReadCertificates(foreign.roots, foreign.roots_name));
  const X509StorePtr store(X509_STORE_new());
  const X509StoreCtxPtr context(X509_STORE_CTX_new());
  for (int i = 0; i < sk_X509_num(roots.get()); ++i) {
    if (X509_STORE_add_cert(store.get(), sk_X509_value(roots.get(), i)) != 1) {
      return BuildError("add root");
    }
  }
  X509_STORE_set_flags(store.get(), X509_V_FLAG_X509_STRICT);
  if (context == nullptr ||
      X509_STORE_CTX_init(context.get(), store.get(), sk_X509_value(chain, 0), chain) != 1) {
    return BuildError("verify certificate");
  }
  X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(context.get()), kAuthLevel);
  if (X509_verify_cert(context.get()) != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    return Bad(foreign.chain_name, absl::StrCat("against ", foreign.roots_name, ": ",
                                                X509_verify_cert_error_string(error)));
  }
  const STACK_OF(X509)* verified = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 1; i < sk_X509_num(verified); ++i) {
    const absl::Status signer = CheckSigner(sk_X509_value(verified, i), foreign.trust_domain);
    if (!signer.ok()) {
      return Bad(foreign.chain_name,
                 absl::StrCat("certificate ", i, " above it: ", signer.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> GenerateKey() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return BuildError("make P-256 key");
  return WriteKey(key.get());
}

absl::StatusOr<std::string> CreateRoot(absl::string_view trust_domain, const SigningKey& key,
                                       Validity validity) {
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::ForTrustDomain(trust_domain));
  const Serial serial = Serial::Random();
  ASSIGN_OR_RETURN(const X509Ptr root, NewCertificate(key.public_key(), serial, validity));
  X509_NAME* name = X509_get_subject_name(root.get());
  // Roots of the same trust domain must differ, so that a chain finds its own.
  RETURN_IF_ERROR(
      SetSubject(name, {.common_name = absl::StrCat("root ", serial.hex().substr(0, 16))}));
  if (X509_set_issuer_name(root.get(), name) != 1) return BuildError("set issuer");
  RETURN_IF_ERROR(AddExtensions(root.get(), root.get(),
                                {{NID_basic_constraints, "critical,CA:TRUE,pathlen:1"},
                                 {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                 {NID_subject_key_identifier, "hash"},
                                 {NID_subject_alt_name, absl::StrCat("URI:", id.text())}}));
  return SignCertificate(root.get(), key);
}

absl::StatusOr<std::string> CreateRoot(absl::string_view trust_domain, const std::string& key,
                                       Validity validity) {
  ASSIGN_OR_RETURN(const SigningKey own, SigningKey::FromPem(key, "root key"));
  return CreateRoot(trust_domain, own, validity);
}

absl::StatusOr<std::string> MakeIntermediateCsr(absl::string_view trust_domain,
                                                absl::string_view cluster, const SigningKey& key) {
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::ForTrustDomain(trust_domain));
  if (!cluster.empty()) RETURN_IF_ERROR(CheckClusterName(trust_domain, cluster));
  ASSIGN_OR_RETURN(
      const X509ReqPtr request,
      NewRequest(
          key,
          {.unit = std::string(cluster),
           .common_name = absl::StrCat("intermediate of ", trust_domain).substr(0, ub_common_name)},
          {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
           {NID_key_usage, "critical,keyCertSign,cRLSign"},
           {NID_subject_alt_name, absl::StrCat("URI:", id.text())}}));
  return WriteRequest(request.get());
}

absl::StatusOr<std::unique_ptr<Issuer>> InstallIntermediate(const ForeignIntermediate& foreign) {
  RETURN_IF_ERROR(SpiffeId::ForTrustDomain(foreign.trust_domain).status());
  if (!foreign.cluster.empty()) {
    RETURN_IF_ERROR(CheckClusterName(foreign.trust_domain, foreign.cluster));
  }
  ASSIGN_OR_RETURN(const X509StackPtr chain, ReadCertificates(foreign.chain, foreign.chain_name));
  RETURN_IF_ERROR(CheckOwn(sk_X509_value(chain.get(), 0), foreign));
  RETURN_IF_ERROR(VerifyUpward(chain.get(), foreign));
  return Issuer::FromParts({.chain = foreign.chain,
                            .chain_name = foreign.chain_name,
                            .key = foreign.key,
                            .trust_domain = foreign.trust_domain,
                            .cluster = foreign.cluster});
}

}  // namespace tombolo::tls
