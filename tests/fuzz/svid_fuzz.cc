// SPDX-License-Identifier: Apache-2.0
// A peer's leaf certificate in DER: the SVID rules must judge anything that
// OpenSSL can parse, and accept nothing without one SPIFFE ID with a path.
#include <cstdlib>

#include <openssl/err.h>

#include "tls/openssl.h"
#include "tls/svid.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tombolo::tls::X509Ptr leaf(d2i_X509(nullptr, &data, static_cast<long>(size)));
  ERR_clear_error();
  if (leaf == nullptr) return 0;
  const auto id = tombolo::tls::LeafIdentity(leaf.get());
  if (id.ok() && (id->trust_domain().empty() || id->path().empty())) std::abort();
  if (id.ok() && X509_check_ca(leaf.get()) == 1) std::abort();
  (void)tombolo::tls::CheckSigner(leaf.get(), "test.example");
  (void)tombolo::tls::SerialHex(leaf.get());
  (void)tombolo::tls::ToWallTime(X509_get0_notAfter(leaf.get()));
  ERR_clear_error();
  return 0;
}
