// SPDX-License-Identifier: Apache-2.0
#include "tls/pkcs7.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <openssl/err.h>
#include <openssl/pkcs7.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "tls/base64.h"
#include "tls/pem.h"

namespace tombolo::tls {
namespace {

using Pkcs7Ptr = std::unique_ptr<PKCS7, Freer<PKCS7_free>>;

constexpr int kMaxCertificates = 64;
constexpr std::size_t kLine = 64;

absl::Status Refuse(absl::string_view why) {
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat("PKCS#7: ", why));
}

// What is before the certificates of a SignedData (RFC 2315, section 9.1): version 1, no digests,
// and content of type data, which is absent.
constexpr unsigned char kBegin[] = {0x02, 0x01, 0x01,  //
                                    0x31, 0x00,        //
                                    0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48,
                                    0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01};
// No signers.
constexpr unsigned char kEnd[] = {0x31, 0x00};
// The name of SignedData, 1.2.840.113549.1.7.2.
constexpr unsigned char kType[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                   0xf7, 0x0d, 0x01, 0x07, 0x02};

template <std::size_t kSize>
absl::string_view Text(const unsigned char (&bytes)[kSize]) {
  return {reinterpret_cast<const char*>(bytes), kSize};
}

// A constructed value.
std::string Wrap(int tag, int tag_class, absl::string_view content) {
  const int length = static_cast<int>(content.size());
  const int size = ASN1_object_size(/*constructed=*/1, length, tag);
  std::string value(static_cast<std::size_t>(size - length), '\0');
  auto* at = reinterpret_cast<unsigned char*>(value.data());
  ASN1_put_object(&at, /*constructed=*/1, length, tag, tag_class);
  return value.append(content.data(), content.size());
}

std::string Sequence(absl::string_view content) {
  return Wrap(V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL, content);
}

std::string Tagged(absl::string_view content) { return Wrap(0, V_ASN1_CONTEXT_SPECIFIC, content); }

absl::Status CheckCertsOnly(PKCS7* message) {
  if (!PKCS7_type_is_signed(message) || message->d.sign == nullptr) {
    return Refuse("not SignedData");
  }
  const PKCS7_SIGNED* data = message->d.sign;
  if (sk_PKCS7_SIGNER_INFO_num(data->signer_info) > 0) return Refuse("has signers");
  if (sk_X509_CRL_num(data->crl) > 0) return Refuse("has CRLs");
  PKCS7* content = data->contents;
  const bool empty = content != nullptr && PKCS7_type_is_data(content) &&
                     (content->d.data == nullptr || ASN1_STRING_length(content->d.data) == 0);
  if (!empty) return Refuse("has content");
  const int count = sk_X509_num(data->cert);  // -1: none
  if (count < 1) return Refuse("has no certificate");
  if (count > kMaxCertificates) {
    return Refuse(absl::StrCat("has more than ", kMaxCertificates, " certificates"));
  }
  return absl::OkStatus();
}

bool Issued(X509* issuer, X509* subject) {
  return issuer != subject && X509_check_issued(issuer, subject) == X509_V_OK;
}

using Certificates = std::vector<X509*>;

// One that issued none of the others; the first when there is no such one.
Certificates::iterator FindLeaf(Certificates& all) {
  const auto is_leaf = [&](X509* candidate) {
    return std::none_of(all.begin(), all.end(),
                        [&](X509* other) { return Issued(candidate, other); });
  };
  const auto found = std::find_if(all.begin(), all.end(), is_leaf);
  return found == all.end() ? all.begin() : found;
}

Certificates LeafFirst(Certificates left) {
  Certificates ordered;
  while (!left.empty()) {
    for (auto next = FindLeaf(left); next != left.end();) {
      X509* current = *next;
      ordered.push_back(current);
      left.erase(next);
      next = std::find_if(left.begin(), left.end(),
                          [&](X509* candidate) { return Issued(candidate, current); });
    }
  }
  return ordered;
}

}  // namespace

absl::StatusOr<std::string> MakeCertsOnly(const std::string& certificates,
                                          const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<std::string> all, ReadEncodedCertificates(certificates, name));
  const std::string data =
      Sequence(absl::StrCat(Text(kBegin), Tagged(absl::StrJoin(all, "")), Text(kEnd)));
  return Sequence(absl::StrCat(Text(kType), Tagged(data)));
}

absl::StatusOr<std::string> ReadCertsOnly(absl::string_view der) {
  ERR_clear_error();
  if (der.size() > kMaxPkcs7Size) {
    return Refuse(absl::StrCat("larger than ", kMaxPkcs7Size, " bytes"));
  }
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = data + der.size();
  const Pkcs7Ptr message(d2i_PKCS7(nullptr, &data, static_cast<long>(der.size())));
  if (message == nullptr) return Refuse("damaged, or something else");
  if (data != end) return Refuse("more data after its end");
  RETURN_IF_ERROR(CheckCertsOnly(message.get()));
  const STACK_OF(X509)* certificates = message->d.sign->cert;
  Certificates all;
  for (int i = 0; i < sk_X509_num(certificates); ++i) {
    all.push_back(sk_X509_value(certificates, i));
  }
  std::string pem;
  for (X509* certificate : LeafFirst(std::move(all))) {
    ASSIGN_OR_RETURN(const std::string one, WriteCertificate(certificate));
    pem += one;
  }
  ERR_clear_error();
  return pem;
}

std::string EncodeBody(absl::string_view der) {
  const std::string text = absl::Base64Escape(der);
  std::string body;
  for (std::size_t at = 0; at < text.size(); at += kLine) {
    absl::StrAppend(&body, text.substr(at, kLine), "\r\n");
  }
  return body;
}

absl::StatusOr<std::string> DecodeBody(absl::string_view body, std::size_t max_size) {
  std::string text;
  // Four characters for three bytes, and as much white space again.
  const std::size_t max_text = (max_size + 2) / 3 * 4;
  if (body.size() > 2 * max_text + kLine) return absl::InvalidArgumentError("body is too large");
  std::copy_if(body.begin(), body.end(), std::back_inserter(text),
               [](char c) { return c != '\r' && c != '\n' && c != ' ' && c != '\t'; });
  if (text.size() > max_text) return absl::InvalidArgumentError("body is too large");
  absl::StatusOr<std::string> der = DecodeBase64(text);
  if (!der.ok() || der->empty()) return absl::InvalidArgumentError("body is not base64");
  if (der->size() > max_size) return absl::InvalidArgumentError("body is too large");
  return der;
}

}  // namespace tombolo::tls
