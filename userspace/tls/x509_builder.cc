// SPDX-License-Identifier: Apache-2.0
#include "tls/x509_builder.h"

#include <openssl/x509v3.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/key_impl.h"
#include "tls/pem.h"

namespace tombolo::tls {
namespace {

using AlgorithmPtr = std::unique_ptr<X509_ALGOR, Freer<X509_ALGOR_free>>;
using ObjectPtr = std::unique_ptr<ASN1_OBJECT, Freer<ASN1_OBJECT_free>>;
using BitStringPtr = std::unique_ptr<ASN1_BIT_STRING, Freer<ASN1_BIT_STRING_free>>;

// The two parts of a SubjectPublicKeyInfo: what kind of key, and which.
struct KeyParts {
  AlgorithmPtr algorithm;
  BitStringPtr bits;
};

absl::StatusOr<KeyParts> Split(const PublicKey& key) {
  const auto* at = reinterpret_cast<const unsigned char*>(key.spki.data());
  const auto* const end = at + key.spki.size();
  long size = 0;
  int tag = 0, tag_class = 0;
  const int form = ASN1_get_object(&at, &size, &tag, &tag_class, end - at);
  const bool sequence = form == V_ASN1_CONSTRUCTED && tag == V_ASN1_SEQUENCE && size == end - at;
  KeyParts parts;
  if (sequence) parts.algorithm.reset(d2i_X509_ALGOR(nullptr, &at, end - at));
  if (parts.algorithm) parts.bits.reset(d2i_ASN1_BIT_STRING(nullptr, &at, end - at));
  if (parts.bits == nullptr || at != end) return BuildError("public key is not valid DER");
  return parts;
}

// As the key is written: it has been checked, and to decode it once more, as X509_set_pubkey()
// does, costs OpenSSL 3.0 more than the certificate's signature.
absl::Status SetPublicKey(X509* certificate, const PublicKey& key) {
  ASSIGN_OR_RETURN(const KeyParts parts, Split(key));
  const ASN1_OBJECT* name = nullptr;
  const void* parameter = nullptr;
  int type = V_ASN1_UNDEF;
  X509_ALGOR_get0(&name, &type, &parameter, parts.algorithm.get());
  // The curve. Other kinds have no parameters, or NULL.
  ObjectPtr curve(type == V_ASN1_OBJECT ? OBJ_dup(static_cast<const ASN1_OBJECT*>(parameter))
                                        : nullptr);
  if ((type == V_ASN1_OBJECT) != (curve != nullptr) || type == V_ASN1_SEQUENCE) {
    return BuildError("public key has other parameters");
  }
  const int size = ASN1_STRING_length(parts.bits.get());
  auto* const bytes = static_cast<unsigned char*>(
      OPENSSL_memdup(ASN1_STRING_get0_data(parts.bits.get()), static_cast<std::size_t>(size)));
  // Takes the curve and the bytes.
  if (bytes == nullptr || X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(certificate), OBJ_dup(name),
                                                 type, curve.get(), bytes, size) != 1) {
    OPENSSL_free(bytes);
    return BuildError("set public key");
  }
  (void)curve.release();
  return absl::OkStatus();
}

absl::Status SetSerial(X509* certificate, const Serial& serial) {
  const auto& bytes = serial.bytes();
  const BignumPtr number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  if (number == nullptr ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return BuildError("set serial number");
  }
  return absl::OkStatus();
}

absl::Status SetValidity(X509* certificate, Validity validity) {
  if (validity.not_after <= validity.not_before) {
    return absl::InvalidArgumentError("the certificate would end before it begins");
  }
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

absl::StatusOr<ExtensionPtr> MakeExtension(X509V3_CTX* context, const Extension& extension) {
  ExtensionPtr made(X509V3_EXT_conf_nid(nullptr, context, extension.nid, extension.value.c_str()));
  if (made == nullptr) {
    return BuildError(absl::StrCat("make extension ", OBJ_nid2sn(extension.nid)));
  }
  return made;
}

absl::StatusOr<ExtensionsPtr> MakeExtensions(const std::vector<Extension>& extensions) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, nullptr, nullptr, nullptr, nullptr, 0);
  ExtensionsPtr all(sk_X509_EXTENSION_new_null());
  for (const Extension& extension : extensions) {
    ASSIGN_OR_RETURN(ExtensionPtr made, MakeExtension(&context, extension));
    if (sk_X509_EXTENSION_push(all.get(), made.get()) == 0) return BuildError("add extension");
    (void)made.release();  // owned by `all`
  }
  return all;
}

}  // namespace

absl::Status BuildError(absl::string_view what) {
  return OpensslStatus(absl::StatusCode::kInternal, what);
}

absl::Status SetSubject(X509_NAME* name, const SubjectNames& names) {
  RETURN_IF_ERROR(AddName(name, "O", "Tombolo"));
  if (!names.unit.empty()) RETURN_IF_ERROR(AddName(name, "OU", names.unit));
  if (!names.common_name.empty()) RETURN_IF_ERROR(AddName(name, "CN", names.common_name));
  return absl::OkStatus();
}

absl::StatusOr<X509Ptr> NewCertificate(const PublicKey& key, const Serial& serial,
                                       Validity validity) {
  X509Ptr certificate(X509_new());
  if (certificate == nullptr || X509_set_version(certificate.get(), X509_VERSION_3) != 1) {
    return BuildError("make certificate");
  }
  RETURN_IF_ERROR(SetPublicKey(certificate.get(), key));
  RETURN_IF_ERROR(SetSerial(certificate.get(), serial));
  RETURN_IF_ERROR(SetValidity(certificate.get(), validity));
  return certificate;
}

absl::Status AddExtensions(X509* certificate, X509* issuer,
                           const std::vector<Extension>& extensions) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  for (const Extension& extension : extensions) {
    ASSIGN_OR_RETURN(const ExtensionPtr made, MakeExtension(&context, extension));
    if (X509_add_ext(certificate, made.get(), -1) != 1) return BuildError("add extension");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SignCertificate(X509* certificate, const SigningKey& key) {
  // 0: the error.
  if (X509_sign(certificate, key.impl().key.get(), DigestFor(key.public_key())) == 0) {
    return BuildError("sign certificate");
  }
  return WriteCertificate(certificate);
}

absl::StatusOr<X509ReqPtr> NewRequest(const SigningKey& key, const SubjectNames& subject,
                                      const std::vector<Extension>& extensions) {
  ASSIGN_OR_RETURN(const KeyPtr public_key, ToKey(key.public_key()));
  ASSIGN_OR_RETURN(const ExtensionsPtr all, MakeExtensions(extensions));
  X509ReqPtr request(X509_REQ_new());
  if (request == nullptr || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), public_key.get()) != 1 ||
      X509_REQ_add_extensions(request.get(), all.get()) != 1) {
    return BuildError("make certificate request");
  }
  RETURN_IF_ERROR(SetSubject(X509_REQ_get_subject_name(request.get()), subject));
  if (X509_REQ_sign(request.get(), key.impl().key.get(), DigestFor(key.public_key())) == 0) {
    return BuildError("sign certificate request");
  }
  return request;
}

}  // namespace tombolo::tls
