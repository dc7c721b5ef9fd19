// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "net/buffer_pool.h"
#include "tls/key_schedule.h"

namespace tombolo::tls {

// What kernel TLS is used for; nothing unless the start-up self-test has seen it work.
struct KernelTls {
  bool aes_128_gcm = false;
  bool aes_256_gcm = false;
  bool chacha20_poly1305 = false;
  bool rekey = false;  // Linux 6.14
  // Records are opened straight into the reader's buffer (TLS_RX_EXPECT_NO_PAD, Linux 6.0). Peers
  // that pad records all the same are understood, at twice the cost.
  bool no_padding = false;
  // Bulk goes through a pipe, without a copy into this process: from the application, and to it.
  bool splice_send = false;
  bool splice_receive = false;

  bool any() const { return aes_128_gcm || aes_256_gcm || chacha20_poly1305; }
  bool Carries(Suite suite) const {
    switch (suite) {
      case Suite::kAes128GcmSha256:
        return aes_128_gcm;
      case Suite::kAes256GcmSha384:
        return aes_256_gcm;
      case Suite::kChaCha20Poly1305Sha256:
        return chacha20_poly1305;
    }
    return false;
  }
};

// What the streams of one thread are made with.
struct RecordSettings {
  RecordSettings(net::BufferPool& pool, KernelTls kernel_tls = {})  // NOLINT: a pool alone will do
      : buffers(pool), kernel(kernel_tls) {}

  net::BufferPool& buffers;  // outlives every stream
  KernelTls kernel;
};

}  // namespace tombolo::tls
