// SPDX-License-Identifier: Apache-2.0
#include "tls/pem.h"

#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::tls {
namespace {

constexpr std::size_t kMaxCertificates = 64;  // in one file

absl::Status FileError(absl::string_view name, absl::string_view what) {
  return OpensslStatus(absl::StatusCode::kInvalidArgument, absl::StrCat(name, ": ", what));
}

absl::Status CheckCount(std::size_t count, const std::string& name) {
  if (count <= kMaxCertificates) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": more than ", kMaxCertificates, " certificates"));
}

absl::Status CheckEnd(std::size_t count, const std::string& name) {
  // The reader ends every text with NO_START_LINE; anything else is damage.
  const unsigned long error = ERR_peek_last_error();
  if (ERR_GET_REASON(error) != PEM_R_NO_START_LINE) return FileError(name, "bad certificate");
  ERR_clear_error();
  if (count > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, ": no certificate in PEM"));
}

absl::StatusOr<std::string> TextOf(BIO* bio, bool written) {
  const char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  if (!written || size <= 0) return OpensslStatus(absl::StatusCode::kInternal, "write PEM");
  return std::string(data, static_cast<std::size_t>(size));
}

}  // namespace

absl::StatusOr<X509StackPtr> ReadCertificates(const std::string& pem, const std::string& name) {
  const BioPtr bio = ReadOnlyBio(pem);
  X509StackPtr certificates(sk_X509_new_null());
  const auto count = [&] { return static_cast<std::size_t>(sk_X509_num(certificates.get())); };
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    sk_X509_push(certificates.get(), certificate);
    RETURN_IF_ERROR(CheckCount(count(), name));
  }
  RETURN_IF_ERROR(CheckEnd(count(), name));
  return certificates;
}

absl::StatusOr<std::vector<std::string>> ReadEncodedCertificates(const std::string& pem,
                                                                 const std::string& name) {
  const BioPtr bio = ReadOnlyBio(pem);
  std::vector<std::string> certificates;
  unsigned char* data = nullptr;
  long size = 0;
  while (PEM_bytes_read_bio(&data, &size, nullptr, PEM_STRING_X509, bio.get(), nullptr, nullptr) ==
         1) {
    certificates.emplace_back(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    OPENSSL_free(data);
    RETURN_IF_ERROR(CheckCount(certificates.size(), name));
  }
  RETURN_IF_ERROR(CheckEnd(certificates.size(), name));
  return certificates;
}

absl::StatusOr<KeyPtr> ReadKey(const std::string& pem, const std::string& name) {
  const BioPtr bio = ReadOnlyBio(pem);
  // A daemon must not ask for a passphrase: "" makes an encrypted key an error.
  char no_passphrase[] = "";
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, no_passphrase));
  if (key == nullptr) return FileError(name, "no private key in PEM");
  return key;
}

absl::StatusOr<std::string> WriteCertificate(const X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  return TextOf(bio.get(), PEM_write_bio_X509(bio.get(), certificate) == 1);
}

absl::StatusOr<std::string> DerOf(const X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size <= 0) return OpensslStatus(absl::StatusCode::kInternal, "write certificate");
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

absl::StatusOr<std::string> WriteRequest(X509_REQ* request) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  return TextOf(bio.get(), PEM_write_bio_X509_REQ(bio.get(), request) == 1);
}

absl::StatusOr<std::string> WriteKey(const EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  return TextOf(bio.get(), PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0,
                                                         nullptr, nullptr) == 1);
}

}  // namespace tombolo::tls
