// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/types/span.h"
#include "gateway/refusal.h"
#include "tls/handshake.h"

namespace tombolo::gateway {

// Of the stream that a ClientHello is in, its record headers included. A real one has 300 bytes,
// or 2,000 with a post-quantum key share.
inline constexpr std::size_t kMaxClientHello = 16 * 1024;

// What the first bytes of a stream are.
struct HelloView {
  // More than there are: look again when there are so many, at most kMaxClientHello.
  // 0: something of what follows is said.
  std::size_t needed = 0;
  std::optional<Refusal> refusal;
  // Letters, digits, '-' and '.', as it was sent: 1 to 255 bytes.
  std::string server_name;
  // The first one that is offered and known. ALPN says it and not a name that is reserved for it,
  // because the handshake binds both ends to it.
  tls::Protocol protocol = tls::Protocol::kTunnel;
};

// Reads the ClientHello (RFC 8446, section 4.1.2) at the beginning of a stream that offers TLS 1.3
// and a tunnel or a link, and the name in it. It may be in any number of records. What does not
// matter for that, and what follows it, is for the node to judge, which reads it all again.
HelloView ReadClientHello(absl::Span<const std::uint8_t> stream);

}  // namespace tombolo::gateway
