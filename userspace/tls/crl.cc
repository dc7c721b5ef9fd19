// SPDX-License-Identifier: Apache-2.0
#include "tls/crl.h"

#include <algorithm>
#include <set>
#include <utility>

#include <openssl/pem.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tls/issuer_impl.h"
#include "tls/key_impl.h"
#include "tls/x509_builder.h"

namespace tombolo::tls {
namespace {

using CrlPtr = std::unique_ptr<X509_CRL, Freer<X509_CRL_free>>;
using RevokedPtr = std::unique_ptr<X509_REVOKED, Freer<X509_REVOKED_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, Freer<ASN1_INTEGER_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, Freer<ASN1_TIME_free>>;
using EnumeratedPtr = std::unique_ptr<ASN1_ENUMERATED, Freer<ASN1_ENUMERATED_free>>;

constexpr std::size_t kMaxSerialDigits = 40;  // 20 octets

TimePtr ToAsn1(WallTime time) {
  return TimePtr(ASN1_TIME_set(nullptr, std::chrono::system_clock::to_time_t(time)));
}

absl::StatusOr<IntegerPtr> ParseSerial(const std::string& hex) {
  const bool digits = std::all_of(hex.begin(), hex.end(), absl::ascii_isxdigit);
  if (hex.empty() || hex.size() > kMaxSerialDigits || !digits) {
    return absl::InvalidArgumentError(
        absl::StrCat("serial number '", hex.substr(0, 64), "' is not 1 to 40 hexadecimal digits"));
  }
  BIGNUM* raw = nullptr;
  const bool parsed = BN_hex2bn(&raw, hex.c_str()) > 0;
  const BignumPtr number(raw);
  if (!parsed) return BuildError("read serial number");
  IntegerPtr serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
  if (serial == nullptr) return BuildError("read serial number");
  return serial;
}

absl::StatusOr<RevokedPtr> MakeEntry(const RevokedCertificate& certificate) {
  ASSIGN_OR_RETURN(const IntegerPtr serial, ParseSerial(certificate.serial));
  const TimePtr when = ToAsn1(certificate.when);
  RevokedPtr entry(X509_REVOKED_new());
  if (entry == nullptr || when == nullptr ||
      X509_REVOKED_set_serialNumber(entry.get(), serial.get()) != 1 ||
      X509_REVOKED_set_revocationDate(entry.get(), when.get()) != 1) {
    return BuildError("make CRL entry");
  }
  // The standard wants this one left out.
  if (certificate.reason == RevocationReason::kUnspecified) return entry;
  const EnumeratedPtr reason(ASN1_ENUMERATED_new());
  if (reason == nullptr ||
      ASN1_ENUMERATED_set(reason.get(), static_cast<long>(certificate.reason)) != 1 ||
      X509_REVOKED_add1_ext_i2d(entry.get(), NID_crl_reason, reason.get(), 0, 0) != 1) {
    return BuildError("make CRL entry");
  }
  return entry;
}

absl::Status AddEntries(X509_CRL* list, const std::vector<RevokedCertificate>& revoked) {
  std::set<std::string> seen;
  for (const RevokedCertificate& certificate : revoked) {
    if (!seen.insert(absl::AsciiStrToLower(certificate.serial)).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("serial number '", certificate.serial, "' is revoked twice"));
    }
    ASSIGN_OR_RETURN(RevokedPtr entry, MakeEntry(certificate));
    if (X509_CRL_add0_revoked(list, entry.get()) != 1) return BuildError("add CRL entry");
    (void)entry.release();  // owned by `list`
  }
  X509_CRL_sort(list);
  return absl::OkStatus();
}

absl::Status SetTimes(X509_CRL* list, const Crl& crl) {
  if (crl.next_update <= crl.this_update) {
    return absl::InvalidArgumentError("the CRL's next update is not after this one");
  }
  const TimePtr last = ToAsn1(crl.this_update);
  const TimePtr next = ToAsn1(crl.next_update);
  if (last == nullptr || next == nullptr || X509_CRL_set1_lastUpdate(list, last.get()) != 1 ||
      X509_CRL_set1_nextUpdate(list, next.get()) != 1) {
    return BuildError("set the CRL's times");
  }
  return absl::OkStatus();
}

absl::Status AddCrlExtensions(X509_CRL* list, X509* issuer, std::uint64_t number) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, nullptr, nullptr, list, 0);
  const ExtensionPtr key(
      X509V3_EXT_conf_nid(nullptr, &context, NID_authority_key_identifier, "keyid:always"));
  const IntegerPtr value(ASN1_INTEGER_new());
  if (key == nullptr || X509_CRL_add_ext(list, key.get(), -1) != 1 || value == nullptr ||
      ASN1_INTEGER_set_uint64(value.get(), number) != 1 ||
      X509_CRL_add1_ext_i2d(list, NID_crl_number, value.get(), 0, 0) != 1) {
    return BuildError("add the CRL's extensions");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> BuildCrl(const Issuer& issuer, const Crl& crl) {
  const Issuer::Impl& impl = issuer.impl();
  X509* own = impl.certificate.get();
  if (!(X509_get_key_usage(own) & KU_CRL_SIGN)) {
    return absl::FailedPreconditionError("the issuer's certificate lacks cRLSign");
  }
  const CrlPtr list(X509_CRL_new());
  if (list == nullptr || X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) != 1 ||
      X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(own)) != 1) {
    return BuildError("make CRL");
  }
  RETURN_IF_ERROR(SetTimes(list.get(), crl));
  RETURN_IF_ERROR(AddEntries(list.get(), crl.revoked));
  RETURN_IF_ERROR(AddCrlExtensions(list.get(), own, crl.number));
  if (X509_CRL_sign(list.get(), impl.key.impl().key.get(), DigestFor(impl.key.public_key())) == 0) {
    return BuildError("sign CRL");
  }
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(list.get(), &der);
  if (size <= 0) return BuildError("write CRL");
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

absl::StatusOr<std::string> CrlToPem(absl::string_view der) {
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = data + der.size();
  const CrlPtr list(d2i_X509_CRL(nullptr, &data, static_cast<long>(der.size())));
  if (list == nullptr || data != end) {
    return OpensslStatus(absl::StatusCode::kInvalidArgument, "not a CRL in DER");
  }
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509_CRL(bio.get(), list.get()) != 1) return BuildError("write CRL");
  const char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

}  // namespace tombolo::tls
