// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "net/address.h"

// The header that tells a server for whom a connection is carried: version 2 of the PROXY protocol
// (haproxy.org/download/2.8/doc/proxy-protocol.txt, section 2.2).
namespace tombolo::net {

// A TLV of the range that is free for applications; with this meaning Istio's ztunnel uses it, too.
inline constexpr std::uint8_t kProxyTlvSpiffeId = 0xd0;

struct ProxyHeader {
  // The client, and what it asked for. Of two families both are written as IPv6. None: the
  // receiver is told that the addresses are not known, and takes those of its own socket.
  std::optional<SocketAddress> source{};
  SocketAddress destination{};
  absl::string_view spiffe_id{};  // at most 65,532 bytes; "": no TLV
};

std::string EncodeProxyV2(const ProxyHeader& header);

}  // namespace tombolo::net
