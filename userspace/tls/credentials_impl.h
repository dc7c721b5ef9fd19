// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "base/spiffe_id.h"
#include "base/time.h"
#include "tls/cluster_bindings.h"
#include "tls/credentials.h"
#include "tls/openssl.h"

namespace tombolo::tls {

struct Credentials::Impl {
  SpiffeId id;
  WallTime not_before, not_after;
  std::string serial;
  std::optional<ClusterBindings> bindings;
  // One context per role, for its options. Both hold chain, key and roots.
  SslCtxPtr client, server;
};

}  // namespace tombolo::tls
