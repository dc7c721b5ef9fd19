// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/spiffe_id.h"
#include "base/time.h"
#include "tls/credentials.h"
#include "tls/openssl.h"
#include "tls/trust_anchors.h"

namespace tombolo::tls {

struct Credentials::Impl {
  SpiffeId id;
  WallTime not_before, not_after;
  std::string serial;
  bool tainted = false;
  TrustAnchorsPtr trust;  // what peers are checked against; the contexts have its roots
  // One context per role, for its options. Both hold chain, key and roots.
  SslCtxPtr client, server;
};

}  // namespace tombolo::tls
