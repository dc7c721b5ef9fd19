// SPDX-License-Identifier: Apache-2.0
// A certificate request as anybody may send it: refused, or with a key that is good and names
// within bounds. As no mutation keeps a signature, a second pass signs what OpenSSL can parse anew.
#include <cstdlib>

#include <openssl/err.h>

#include "tls/csr.h"
#include "tls/openssl.h"

namespace {

void Check(absl::string_view text) {
  const auto csr = tombolo::tls::ParseCsr(text);
  if (ERR_peek_error() != 0) std::abort();  // left for somebody else's call to find
  if (!csr.ok()) return;
  const auto key = tombolo::tls::ParsePublicKey(csr->key.spki);
  if (!key.ok() || *key != csr->key) std::abort();
  if (csr->uris.size() > 16 || csr->subject.size() > 256) std::abort();
  for (const char c : csr->subject) {
    if (c < ' ' || c > '~') std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const tombolo::tls::KeyPtr key(EVP_EC_gen("P-256"));
  Check(absl::string_view(reinterpret_cast<const char*>(data), size));
  const tombolo::tls::X509ReqPtr request(d2i_X509_REQ(nullptr, &data, static_cast<long>(size)));
  ERR_clear_error();
  if (request == nullptr) return 0;
  unsigned char* der = nullptr;
  int length = -1;
  if (X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) != 0) {
    length = i2d_X509_REQ(request.get(), &der);
  }
  ERR_clear_error();
  if (length > 0) {
    Check(absl::string_view(reinterpret_cast<const char*>(der), static_cast<std::size_t>(length)));
  }
  OPENSSL_free(der);
  return 0;
}
