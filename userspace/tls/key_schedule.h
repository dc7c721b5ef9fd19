// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "tls/secret.h"

namespace tombolo::tls {

// The cipher suites of tombolo/1, by their numbers in RFC 8446, appendix B.4.
enum class Suite : std::uint16_t {
  kAes128GcmSha256 = 0x1301,
  kAes256GcmSha384 = 0x1302,
  kChaCha20Poly1305Sha256 = 0x1303,
};

// OpenSSL's names of the same, for SSL_CTX_set_ciphersuites.
inline constexpr char kSuiteNames[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_"
    "SHA256";

// InvalidArgument for any other suite.
absl::StatusOr<Suite> SuiteFromNumber(std::uint16_t number);

// The present application traffic secrets, kept for rekeying and hand-over.
struct TrafficSecrets {
  Suite suite = Suite::kAes128GcmSha256;
  Secret send, receive;
};

// What protects the records of one direction. Wiped when destroyed.
struct TrafficKey {
  static constexpr std::size_t kIvSize = 12;

  TrafficKey() = default;
  TrafficKey(const TrafficKey&) = default;
  TrafficKey& operator=(const TrafficKey&) = default;
  ~TrafficKey();

  Suite suite = Suite::kAes128GcmSha256;
  std::array<std::uint8_t, 32> key{};
  std::size_t key_size = 0;
  std::array<std::uint8_t, kIvSize> iv{};
};

// RFC 8446, section 7.3: key and IV from a traffic secret.
absl::StatusOr<TrafficKey> DeriveTrafficKey(Suite suite, const Secret& secret);

// RFC 8446, section 7.2: the secret that follows `secret` after a KeyUpdate.
absl::StatusOr<Secret> NextSecret(Suite suite, const Secret& secret);

}  // namespace tombolo::tls
