// SPDX-License-Identifier: Apache-2.0
#include "tls/certificate_builder.h"

#include <utility>

#include <openssl/bn.h>
#include <openssl/ec.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/digest.h"
#include "tls/openssl.h"
#include "tls/pem.h"
#include "tls/svid.h"

namespace tombolo::tls {
namespace {

using BignumPtr = std::unique_ptr<BIGNUM, Freer<BN_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;

// Below the 20 octets of RFC 5280, section 4.1.2.2, and always positive.
constexpr int kSerialBits = 127;

struct Extension {
  int nid;
  std::string value;  // in the words of x509v3_config(5)
};

absl::Status BuildError(absl::string_view what) {
  return OpensslStatus(absl::StatusCode::kInternal, what);
}

absl::Status SetSerial(X509* certificate) {
  const BignumPtr number(BN_new());
  if (number == nullptr ||
      BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return BuildError("make serial number");
  }
  return absl::OkStatus();
}

absl::Status SetValidity(X509* certificate, Validity validity) {
  const auto seconds = [](WallTime time) { return std::chrono::system_clock::to_time_t(time); };
  if (ASN1_TIME_set(X509_getm_notBefore(certificate), seconds(validity.not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), seconds(validity.not_after)) == nullptr) {
    return BuildError("set validity");
  }
  return absl::OkStatus();
}

absl::Status AddName(X509_NAME* name, const char* field, const std::string& value) {
  const auto* text = reinterpret_cast<const unsigned char*>(value.c_str());
  if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, text, -1, -1, 0) != 1) {
    return BuildError("set subject");
  }
  return absl::OkStatus();
}

absl::Status AddExtensions(X509* certificate, X509* issuer,
                           const std::vector<Extension>& extensions) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  for (const Extension& extension : extensions) {
    const ExtensionPtr made(
        X509V3_EXT_conf_nid(nullptr, &context, extension.nid, extension.value.c_str()));
    if (made == nullptr || X509_add_ext(certificate, made.get(), -1) != 1) {
      return BuildError(absl::StrCat("add extension ", OBJ_nid2sn(extension.nid)));
    }
  }
  return absl::OkStatus();
}

// Everything but subject, issuer, extensions and signature.
absl::StatusOr<X509Ptr> NewCertificate(EVP_PKEY* key, Validity validity) {
  X509Ptr certificate(X509_new());
  if (certificate == nullptr || X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(certificate.get(), key) != 1) {
    return BuildError("make certificate");
  }
  RETURN_IF_ERROR(SetSerial(certificate.get()));
  RETURN_IF_ERROR(SetValidity(certificate.get(), validity));
  return certificate;
}

absl::StatusOr<std::string> Sign(X509* certificate, EVP_PKEY* key) {
  // 0: the error. P-256 signs with SHA-256.
  if (X509_sign(certificate, key, EVP_sha256()) == 0) return BuildError("sign certificate");
  return WriteCertificate(certificate);
}

// The trust domain of a root: its one URI name.
absl::StatusOr<std::string> TrustDomainOf(const X509* root) {
  using NamesPtr = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;
  const NamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(root, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr || sk_GENERAL_NAME_num(names.get()) != 1 ||
      sk_GENERAL_NAME_value(names.get(), 0)->type != GEN_URI) {
    return absl::InvalidArgumentError("certificate does not name a trust domain by one URI");
  }
  const ASN1_STRING* uri = sk_GENERAL_NAME_value(names.get(), 0)->d.uniformResourceIdentifier;
  const absl::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                               static_cast<std::size_t>(ASN1_STRING_length(uri)));
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse(text));
  RETURN_IF_ERROR(CheckSigner(root, id.trust_domain()));
  return std::string(id.trust_domain());
}

}  // namespace

struct Issuer::Impl {
  X509Ptr certificate;
  KeyPtr key;
  std::string trust_domain;
  WallTime not_after;
};

Validity Validity::FromNow(std::chrono::seconds ttl) {
  const WallTime now = std::chrono::system_clock::now();
  return {.not_before = now - kBackdate, .not_after = now + ttl};
}

absl::StatusOr<std::string> GenerateKey() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return BuildError("make P-256 key");
  return WriteKey(key.get());
}

absl::StatusOr<std::string> CreateRoot(absl::string_view trust_domain, const std::string& key,
                                       Validity validity) {
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse(absl::StrCat("spiffe://", trust_domain)));
  if (!id.path().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("trust domain '", trust_domain, "' has a path"));
  }
  ASSIGN_OR_RETURN(const KeyPtr own_key, ReadKey(key, "root key"));
  ASSIGN_OR_RETURN(const X509Ptr root, NewCertificate(own_key.get(), validity));
  X509_NAME* name = X509_get_subject_name(root.get());
  RETURN_IF_ERROR(AddName(name, "O", "Tombolo"));
  // Roots of the same trust domain must differ, so that a chain finds its own.
  RETURN_IF_ERROR(AddName(name, "CN", absl::StrCat("root ", SerialHex(root.get()).substr(0, 16))));
  if (X509_set_issuer_name(root.get(), name) != 1) return BuildError("set issuer");
  RETURN_IF_ERROR(AddExtensions(root.get(), root.get(),
                                {{NID_basic_constraints, "critical,CA:TRUE,pathlen:1"},
                                 {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                 {NID_subject_key_identifier, "hash"},
                                 {NID_subject_alt_name, absl::StrCat("URI:", id.text())}}));
  return Sign(root.get(), own_key.get());
}

absl::StatusOr<std::unique_ptr<Issuer>> Issuer::FromPem(const Pem& pem) {
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(const X509StackPtr chain,
                   ReadCertificates(pem.certificate, pem.certificate_name));
  ASSIGN_OR_RETURN(impl->key, ReadKey(pem.key, pem.key_name));
  impl->certificate.reset(sk_X509_shift(chain.get()));
  if (X509_check_private_key(impl->certificate.get(), impl->key.get()) != 1) {
    return OpensslStatus(absl::StatusCode::kInvalidArgument,
                         absl::StrCat(pem.key_name, ": not the key of ", pem.certificate_name));
  }
  absl::StatusOr<std::string> trust_domain = TrustDomainOf(impl->certificate.get());
  if (!trust_domain.ok()) return Annotate(trust_domain.status(), pem.certificate_name);
  impl->trust_domain = *std::move(trust_domain);
  impl->not_after = ToWallTime(X509_get0_notAfter(impl->certificate.get()));
  return std::unique_ptr<Issuer>(new Issuer(std::move(impl)));
}

Issuer::Issuer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Issuer::~Issuer() = default;
const std::string& Issuer::trust_domain() const { return impl_->trust_domain; }
WallTime Issuer::not_after() const { return impl_->not_after; }

absl::StatusOr<std::string> Issuer::IssueSvid(const SpiffeId& id, const std::string& key,
                                              Validity validity) const {
  if (id.trust_domain() != impl_->trust_domain || id.path().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", id.text(), "' is not a workload of trust domain '", impl_->trust_domain, "'"));
  }
  if (validity.not_after > impl_->not_after) {
    return absl::FailedPreconditionError("the certificate would outlive its issuer");
  }
  ASSIGN_OR_RETURN(const KeyPtr subject_key, ReadKey(key, "key"));
  ASSIGN_OR_RETURN(const X509Ptr leaf, NewCertificate(subject_key.get(), validity));
  RETURN_IF_ERROR(AddName(X509_get_subject_name(leaf.get()), "O", "Tombolo"));
  X509* issuer = impl_->certificate.get();
  if (X509_set_issuer_name(leaf.get(), X509_get_subject_name(issuer)) != 1) {
    return BuildError("set issuer");
  }
  RETURN_IF_ERROR(AddExtensions(leaf.get(), issuer,
                                {{NID_basic_constraints, "critical,CA:FALSE"},
                                 {NID_key_usage, "critical,digitalSignature"},
                                 {NID_ext_key_usage, "serverAuth,clientAuth"},
                                 {NID_subject_key_identifier, "hash"},
                                 {NID_authority_key_identifier, "keyid:always"},
                                 {NID_subject_alt_name, absl::StrCat("URI:", id.text())}}));
  return Sign(leaf.get(), impl_->key.get());
}

}  // namespace tombolo::tls
