// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tombolo::tls {

// Why a handshake failed, for metrics. The Status carries it (ReasonOf).
enum class HandshakeFailure {
  kNone,
  kTimeout,
  kTransport,  // TCP failed or ended
  kUntrusted,  // the chain does not lead to the bundle
  kExpired,    // or not yet valid
  kBadSvid,    // breaks an X.509-SVID rule (two URI SANs, CA leaf, key usage ...)
  kWrongTrustDomain,
  kWrongCluster,        // signed by an authority that is bound to another cluster, or to none
  kRevoked,             // the SVID, its identity or its cluster
  kUnexpectedIdentity,  // a valid SVID, but not the one that was expected
  kNoCertificate,
  kUnknownName,    // no credentials for the SNI
  kRefusedByPeer,  // the peer sent an alert
  kKernelTls,      // the kernel did not take the socket or its keys: is it in a sockmap?
  kProtocol,       // anything else that OpenSSL refuses
};

HandshakeFailure ReasonOf(const absl::Status& status);
absl::string_view Name(HandshakeFailure failure);  // "untrusted", "expired", ...

// A Status that carries `failure`. Its code says what a caller may do: retry
// after DeadlineExceeded and Unavailable only.
absl::Status HandshakeError(HandshakeFailure failure, absl::string_view message);

}  // namespace tombolo::tls
