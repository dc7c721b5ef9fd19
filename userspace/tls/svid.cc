// SPDX-License-Identifier: Apache-2.0
#include "tls/svid.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/handshake_failure.h"
#include "tls/key_impl.h"
#include "tls/openssl.h"
#include "tls/trust_store.h"

namespace tombolo::tls {
namespace {

using BitStringPtr = std::unique_ptr<ASN1_BIT_STRING, Freer<ASN1_BIT_STRING_free>>;

constexpr int kAbsent = -1;  // X509_get_ext_d2i's `critical` when there is none

absl::Status BadSvid(absl::string_view why) {
  return HandshakeError(HandshakeFailure::kBadSvid, why);
}

// The URIs of the subject alternative name. Other kinds of names are allowed
// and ignored.
absl::StatusOr<std::vector<std::string>> UriNames(const X509* certificate) {
  int critical = 0;
  const GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nullptr)));
  std::vector<std::string> uris;
  if (names == nullptr && critical != kAbsent) {
    return BadSvid("certificate has a malformed subject alternative name");
  }
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                      static_cast<std::size_t>(ASN1_STRING_length(uri)));
  }
  return uris;
}

absl::Status CheckLeafUsage(X509* leaf) {
  const std::uint32_t flags = X509_get_extension_flags(leaf);
  if (flags & EXFLAG_INVALID) return BadSvid("certificate has malformed extensions");
  if (flags & EXFLAG_CA) return BadSvid("certificate is a CA");
  int critical = 0;
  const BitStringPtr usage(
      static_cast<ASN1_BIT_STRING*>(X509_get_ext_d2i(leaf, NID_key_usage, &critical, nullptr)));
  if (usage == nullptr) return BadSvid("certificate has no key usage");
  if (critical != 1) return BadSvid("certificate's key usage is not critical");
  const std::uint32_t bits = X509_get_key_usage(leaf);
  if (!(bits & KU_DIGITAL_SIGNATURE)) return BadSvid("key usage lacks digitalSignature");
  if (bits & KU_KEY_CERT_SIGN) return BadSvid("key usage of a leaf has keyCertSign");
  if (bits & KU_CRL_SIGN) return BadSvid("key usage of a leaf has cRLSign");
  constexpr std::uint32_t kBoth = XKU_SSL_SERVER | XKU_SSL_CLIENT;
  if ((flags & EXFLAG_XKUSAGE) && (X509_get_extended_key_usage(leaf) & kBoth) != kBoth) {
    return BadSvid("extended key usage lacks serverAuth or clientAuth");
  }
  return absl::OkStatus();
}

HandshakeFailure FailureOf(int error, int depth) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return HandshakeFailure::kExpired;
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_CERT_REJECTED:
    case X509_V_ERR_EMPTY_SUBJECT_SAN_NOT_CRITICAL:
    case X509_V_ERR_EMPTY_SUBJECT_ALT_NAME:
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
    case X509_V_ERR_INVALID_EXTENSION:
    case X509_V_ERR_KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA:
    case X509_V_ERR_PATHLEN_INVALID_FOR_NON_CA:
      return depth == 0 ? HandshakeFailure::kBadSvid : HandshakeFailure::kUntrusted;
    default:
      return HandshakeFailure::kUntrusted;
  }
}

absl::Status CheckBound(const STACK_OF(X509) * chain, const SpiffeId& id,
                        const ClusterBindings& bindings) {
  // A chain of one is a leaf that is its own root: nobody vouches for its cluster.
  const X509* signer = sk_X509_value(chain, sk_X509_num(chain) > 1 ? 1 : 0);
  const absl::Status bound = bindings.Check(KeyIdOf(signer), id);
  if (bound.ok()) return bound;
  return HandshakeError(HandshakeFailure::kWrongCluster, bound.message());
}

absl::StatusOr<SpiffeId> CheckVerified(X509_STORE_CTX* context, const TrustBundle& bundle) {
  const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context);
  ASSIGN_OR_RETURN(SpiffeId id, LeafIdentity(sk_X509_value(chain, 0)));
  if (id.trust_domain() != bundle.trust_domain) {
    return HandshakeError(
        HandshakeFailure::kWrongTrustDomain,
        absl::StrCat("'", id.text(), "' is not of trust domain '", bundle.trust_domain, "'"));
  }
  for (int i = 1; i < sk_X509_num(chain); ++i) {
    RETURN_IF_ERROR(CheckSigner(sk_X509_value(chain, i), bundle.trust_domain));
  }
  if (bundle.bindings) RETURN_IF_ERROR(CheckBound(chain, id, *bundle.bindings));
  RETURN_IF_ERROR(bundle.revoked.Check(id, SerialHex(sk_X509_value(chain, 0))));
  return id;
}

// Which trust domain a leaf says that it is of; empty: none. Only for choosing who judges it:
// nothing of that is believed before.
std::string ClaimedTrustDomain(const X509* leaf) {
  const absl::StatusOr<std::vector<std::string>> uris = UriNames(leaf);
  if (!uris.ok() || uris->empty()) return "";
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(uris->front());
  return id.ok() ? std::string(id->trust_domain()) : "";
}

// OpenSSL turns these into the alerts unknown_ca, certificate_revoked and
// unsupported_certificate.
int ErrorOf(HandshakeFailure reason) {
  switch (reason) {
    case HandshakeFailure::kUntrusted:
    case HandshakeFailure::kWrongCluster:
      return X509_V_ERR_INVALID_CA;
    case HandshakeFailure::kRevoked:
      return X509_V_ERR_CERT_REVOKED;
    default:
      return X509_V_ERR_INVALID_PURPOSE;
  }
}

}  // namespace

absl::StatusOr<SpiffeId> LeafIdentity(const X509* leaf) {
  // OpenSSL fills a cache inside, hence no const.
  RETURN_IF_ERROR(CheckLeafUsage(const_cast<X509*>(leaf)));
  ASSIGN_OR_RETURN(const std::vector<std::string> uris, UriNames(leaf));
  if (uris.size() != 1) {
    return BadSvid(absl::StrCat("certificate has ", uris.size(), " URI names, must have one"));
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(uris[0]);
  if (!id.ok()) return BadSvid(id.status().message());
  if (id->path().empty()) return BadSvid(absl::StrCat("'", uris[0], "' names no workload"));
  return id;
}

absl::Status CheckSigner(const X509* signer, absl::string_view trust_domain) {
  X509* certificate = const_cast<X509*>(signer);
  const std::uint32_t flags = X509_get_extension_flags(certificate);
  if ((flags & EXFLAG_INVALID) || !(flags & EXFLAG_CA)) {
    return HandshakeError(HandshakeFailure::kUntrusted, "signing certificate is not a CA");
  }
  if (!(flags & EXFLAG_KUSAGE) || !(X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN)) {
    return HandshakeError(HandshakeFailure::kUntrusted, "signing certificate lacks keyCertSign");
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> uris, UriNames(signer));
  const std::string own = absl::StrCat("spiffe://", trust_domain);
  if (uris.empty() || (uris.size() == 1 && uris[0] == own)) return absl::OkStatus();
  return HandshakeError(
      HandshakeFailure::kWrongTrustDomain,
      absl::StrCat("signing certificate is for '", uris[0], "', not '", own, "'"));
}

absl::StatusOr<SpiffeId> VerifyChain(X509_STORE_CTX* context, const TrustBundle& bundle) {
  if (X509_verify_cert(context) != 1) {
    const int error = X509_STORE_CTX_get_error(context);
    const int depth = X509_STORE_CTX_get_error_depth(context);
    return HandshakeError(FailureOf(error, depth), X509_verify_cert_error_string(error));
  }
  absl::StatusOr<SpiffeId> id = CheckVerified(context, bundle);
  if (!id.ok()) X509_STORE_CTX_set_error(context, ErrorOf(ReasonOf(id.status())));
  return id;
}

absl::StatusOr<SpiffeId> VerifyFederatedChain(X509_STORE_CTX* context,
                                              const TrustAnchors& anchors) {
  const auto& federated = anchors.impl().federated;
  const auto other = federated.find(ClaimedTrustDomain(X509_STORE_CTX_get0_cert(context)));
  if (other == federated.end()) return VerifyChain(context, anchors.bundle());
  X509_STORE_CTX_set0_trusted_stack(context, other->second.roots.get());
  return VerifyChain(context, *other->second.bundle);
}

}  // namespace tombolo::tls
