// SPDX-License-Identifier: Apache-2.0
// A trust bundle, of ours or of somebody else's: what is taken is within bounds, and written it
// reads as the same again.
#include <cstdlib>

#include <openssl/err.h>

#include "tls/trust_bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto bundle = tombolo::tls::ParseTrustBundle(text, "test.example", "bundle");
  ERR_clear_error();
  if (!bundle.ok()) return 0;
  if (bundle->roots.empty() || bundle->federated.size() > 64) std::abort();
  if (bundle->bindings && bundle->bindings->clusters.size() > 4096) std::abort();
  const auto written = tombolo::tls::WriteTrustBundle(*bundle);
  ERR_clear_error();
  if (!written.ok()) return 0;  // a root with a key that no JWK of ours can say
  const auto again = tombolo::tls::ParseTrustBundle(*written, "test.example", "again");
  if (!again.ok() || *again != *bundle) std::abort();
  return 0;
}
