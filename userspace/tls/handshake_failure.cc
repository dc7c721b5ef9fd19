// SPDX-License-Identifier: Apache-2.0
#include "tls/handshake_failure.h"

#include <iterator>
#include <string>

#include "absl/strings/cord.h"

namespace tombolo::tls {
namespace {

constexpr absl::string_view kPayload = "tombolo/handshake-failure";

struct Row {
  HandshakeFailure failure;
  absl::string_view name;
  absl::StatusCode code;
};

constexpr Row kRows[] = {
    {HandshakeFailure::kNone, "none", absl::StatusCode::kUnknown},
    {HandshakeFailure::kTimeout, "timeout", absl::StatusCode::kDeadlineExceeded},
    {HandshakeFailure::kTransport, "transport", absl::StatusCode::kUnavailable},
    {HandshakeFailure::kUntrusted, "untrusted", absl::StatusCode::kUnauthenticated},
    {HandshakeFailure::kExpired, "expired", absl::StatusCode::kUnauthenticated},
    {HandshakeFailure::kBadSvid, "bad_svid", absl::StatusCode::kUnauthenticated},
    {HandshakeFailure::kWrongTrustDomain, "wrong_trust_domain", absl::StatusCode::kUnauthenticated},
    {HandshakeFailure::kWrongCluster, "wrong_cluster", absl::StatusCode::kUnauthenticated},
    {HandshakeFailure::kRevoked, "revoked", absl::StatusCode::kUnauthenticated},
    {HandshakeFailure::kUnexpectedIdentity, "unexpected_identity",
     absl::StatusCode::kUnauthenticated},
    {HandshakeFailure::kNoCertificate, "no_certificate", absl::StatusCode::kUnauthenticated},
    {HandshakeFailure::kUnknownName, "unknown_name", absl::StatusCode::kNotFound},
    {HandshakeFailure::kRefusedByPeer, "refused_by_peer", absl::StatusCode::kPermissionDenied},
    {HandshakeFailure::kKernelTls, "kernel_tls", absl::StatusCode::kFailedPrecondition},
    {HandshakeFailure::kProtocol, "protocol", absl::StatusCode::kInvalidArgument},
};

const Row& RowOf(HandshakeFailure failure) {
  for (const Row& row : kRows) {
    if (row.failure == failure) return row;
  }
  return kRows[0];
}

}  // namespace

HandshakeFailure ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  if (!payload) return HandshakeFailure::kNone;
  for (const Row& row : kRows) {
    if (*payload == row.name) return row.failure;
  }
  return HandshakeFailure::kNone;
}

absl::string_view Name(HandshakeFailure failure) { return RowOf(failure).name; }

absl::Status HandshakeError(HandshakeFailure failure, absl::string_view message) {
  const Row& row = RowOf(failure);
  absl::Status status(row.code, message);
  status.SetPayload(kPayload, absl::Cord(row.name));
  return status;
}

}  // namespace tombolo::tls
