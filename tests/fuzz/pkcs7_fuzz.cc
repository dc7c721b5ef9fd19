// SPDX-License-Identifier: Apache-2.0
// The body of an answer to an enrolment: what decodes is certificates, which go back to DER and
// come out again the same.
#include <cstdlib>

#include <openssl/err.h>

#include "tls/pkcs7.h"

namespace {

void Check(absl::string_view der) {
  const auto pem = tombolo::tls::ReadCertsOnly(der);
  if (ERR_peek_error() != 0) std::abort();
  if (!pem.ok()) return;
  const auto again = tombolo::tls::MakeCertsOnly(*pem, "again");
  if (!again.ok()) return;  // more than fits one file
  const auto read = tombolo::tls::ReadCertsOnly(*again);
  if (!read.ok() || read->size() != pem->size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  Check(input);
  const auto der = tombolo::tls::DecodeBody(input, tombolo::tls::kMaxPkcs7Size);
  if (!der.ok()) return 0;
  const auto same =
      tombolo::tls::DecodeBody(tombolo::tls::EncodeBody(*der), tombolo::tls::kMaxPkcs7Size);
  if (!same.ok() || *same != *der) std::abort();
  Check(*der);
  return 0;
}
