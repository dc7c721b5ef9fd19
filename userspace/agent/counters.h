// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "tls/handshake.h"

namespace tombolo::agent {

// Why an application's connection was not carried. Names are label values.
enum class Refusal {
  kNotCaptured,    // came to the listener without the hook
  kUnknownSource,  // no enrolled workload
  kUnknownService,
  kDenied,         // policy, here or at the acceptor
  kNoCredentials,  // no valid SVID for the source
  kNoEndpoint,
  kUnavailable,  // every endpoint that was tried failed
  kCertificate,  // this or the other side refused a certificate
  kUncertain,    // the tunnel failed after bytes had been sent
  kApplicationGone,
  kDraining,
  kResources,        // out of descriptors or memory
  kConnectionLimit,  // limits.connections_per_workload
  kTunnelLimit,      // limits.tunnels_per_peer
  kHandshakeLimit,   // limits.handshakes, limits.handshakes_per_address
  kCount,
};
absl::string_view Name(Refusal refusal);

// Why a handshake failed: every value of tls::HandshakeFailure.
inline constexpr std::size_t kHandshakeFailures =
    static_cast<std::size_t>(tls::HandshakeFailure::kProtocol) + 1;

// Counts that every data-plane thread adds to, and /metrics reads.
struct Counters {
  using Count = std::atomic<std::uint64_t>;
  template <typename Enum, std::size_t kSize>
  struct By {
    std::array<Count, kSize> counts{};
    void Add(Enum reason) {
      counts[static_cast<std::size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
    }
  };

  By<Refusal, static_cast<std::size_t>(Refusal::kCount)> dialed_refused;    // towards a tunnel
  By<Refusal, static_cast<std::size_t>(Refusal::kCount)> accepted_refused;  // from a tunnel
  By<tls::HandshakeFailure, kHandshakeFailures> dialed_handshake_failures;
  By<tls::HandshakeFailure, kHandshakeFailures> accepted_handshake_failures;
  Count dialed{0};         // application connections relayed
  Count accepted{0};       // connections relayed to endpoints
  Count dialed_failed{0};  // of those relayed: ended by a reset or a truncation
  Count accepted_failed{0};
  Count retries{0};         // attempts after the first
  Count tunnels_dialed{0};  // handshakes done
  Count tunnels_accepted{0};
  Count tunnels_reused{0};
  Count tunnel_protocol_errors{0};
  Count dead_ways{0};        // all idle tunnels to one address closed: PING without an answer
  Count bytes_to_tunnel{0};  // of finished connections
  Count bytes_from_tunnel{0};
};

inline void Add(Counters::Count& count, std::uint64_t n = 1) {
  count.fetch_add(n, std::memory_order_relaxed);
}

}  // namespace tombolo::agent
