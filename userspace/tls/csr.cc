// SPDX-License-Identifier: Apache-2.0
#include "tls/csr.h"

#include <algorithm>
#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/key_impl.h"
#include "tls/x509_builder.h"

namespace tombolo::tls {
namespace {

constexpr int kMaxUris = 16;
constexpr std::size_t kMaxSubject = 256;
constexpr char kDerSequence = 0x30;
// RSASSA-PSS is not among them: its parameters can name a weak digest.
constexpr int kSignatures[] = {NID_sha256WithRSAEncryption,
                               NID_sha384WithRSAEncryption,
                               NID_sha512WithRSAEncryption,
                               NID_ecdsa_with_SHA256,
                               NID_ecdsa_with_SHA384,
                               NID_ecdsa_with_SHA512,
                               NID_ED25519};

absl::Status Refuse(absl::string_view why) {
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat("certificate request: ", why));
}

// The DER in a PEM text that holds one request and nothing after it.
absl::StatusOr<std::string> FromPem(absl::string_view text) {
  const BioPtr bio = ReadOnlyBio(text);
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  if (PEM_read_bio(bio.get(), &name, &header, &data, &size) != 1) {
    return Refuse("neither DER nor PEM");
  }
  const absl::string_view label(name);
  const bool request = label == PEM_STRING_X509_REQ || label == PEM_STRING_X509_REQ_OLD;
  const bool plain = *header == '\0';
  std::string der(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(data);
  if (!request || !plain) return Refuse("PEM of something else");
  const char* rest = nullptr;
  const long left = BIO_get_mem_data(bio.get(), &rest);
  const absl::string_view after(rest, static_cast<std::size_t>(left));
  if (!absl::StripAsciiWhitespace(after).empty()) return Refuse("more data after its end");
  return der;
}

absl::StatusOr<X509ReqPtr> Decode(const std::string& der) {
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = data + der.size();
  X509ReqPtr request(d2i_X509_REQ(nullptr, &data, static_cast<long>(der.size())));
  if (request == nullptr) return Refuse("not a PKCS#10 request");
  if (data != end) return Refuse("more data after its end");
  if (X509_REQ_get_version(request.get()) != X509_REQ_VERSION_1) return Refuse("unknown version");
  unsigned char* again = nullptr;
  const int size = i2d_X509_REQ(request.get(), &again);
  const bool same = size >= 0 && absl::string_view(reinterpret_cast<char*>(again),
                                                   static_cast<std::size_t>(size)) == der;
  OPENSSL_free(again);
  if (!same) return Refuse("not in DER");
  return request;
}

absl::Status CheckSignature(X509_REQ* request, EVP_PKEY* key) {
  const int algorithm = X509_REQ_get_signature_nid(request);
  if (std::find(std::begin(kSignatures), std::end(kSignatures), algorithm) ==
      std::end(kSignatures)) {
    const char* name = OBJ_nid2sn(algorithm);
    return Refuse(absl::StrCat("signed by ", name == nullptr ? "an unknown algorithm" : name,
                               ", must be RSA or ECDSA with SHA-2, or Ed25519"));
  }
  if (X509_REQ_verify(request, key) != 1) return Refuse("the signature is not by its key");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> UrisOf(X509_REQ* request) {
  std::vector<std::string> uris;
  const bool asks = X509_REQ_get_attr_by_NID(request, NID_ext_req, -1) >= 0 ||
                    X509_REQ_get_attr_by_NID(request, NID_ms_ext_req, -1) >= 0;
  if (!asks) return uris;
  const ExtensionsPtr extensions(X509_REQ_get_extensions(request));
  if (extensions == nullptr) return Refuse("malformed extensions");
  int critical = 0;
  const GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(
      X509V3_get_d2i(extensions.get(), NID_subject_alt_name, &critical, nullptr)));
  const bool absent = critical == -1;
  if (names == nullptr && !absent) return Refuse("malformed subject alternative name");
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    if (uris.size() == kMaxUris) return Refuse(absl::StrCat("more than ", kMaxUris, " URI names"));
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                      static_cast<std::size_t>(ASN1_STRING_length(uri)));
  }
  return uris;
}

std::string SubjectOf(const X509_REQ* request) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  // Escapes control characters and whatever is not ASCII.
  if (X509_NAME_print_ex(bio.get(), X509_REQ_get_subject_name(request), 0, XN_FLAG_RFC2253) < 0) {
    return "";
  }
  const char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, std::min(static_cast<std::size_t>(size), kMaxSubject));
}

}  // namespace

absl::StatusOr<Csr> ParseCsr(absl::string_view der_or_pem) {
  ERR_clear_error();
  if (der_or_pem.size() > kMaxCsrSize) {
    return Refuse(absl::StrCat("larger than ", kMaxCsrSize, " bytes"));
  }
  if (der_or_pem.empty()) return Refuse("empty");
  std::string der(der_or_pem);
  if (der[0] != kDerSequence) {
    ASSIGN_OR_RETURN(der, FromPem(der_or_pem));
  }
  ASSIGN_OR_RETURN(const X509ReqPtr request, Decode(der));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  Csr csr;
  absl::StatusOr<PublicKey> checked = ToPublicKey(key);
  if (!checked.ok()) return Refuse(checked.status().message());
  csr.key = *std::move(checked);
  RETURN_IF_ERROR(CheckSignature(request.get(), key));
  ASSIGN_OR_RETURN(csr.uris, UrisOf(request.get()));
  csr.subject = SubjectOf(request.get());
  ERR_clear_error();
  return csr;
}

absl::StatusOr<std::string> MakeCsr(const std::string& key, const SpiffeId& id) {
  if (id.path().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("'", id.text(), "' names no workload"));
  }
  ASSIGN_OR_RETURN(const SigningKey own, SigningKey::FromPem(key, "key"));
  ASSIGN_OR_RETURN(
      const X509ReqPtr request,
      NewRequest(own, SubjectNames(), {{NID_subject_alt_name, absl::StrCat("URI:", id.text())}}));
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  if (size <= 0) return BuildError("write certificate request");
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

}  // namespace tombolo::tls
