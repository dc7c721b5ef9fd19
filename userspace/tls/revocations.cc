// SPDX-License-Identifier: Apache-2.0
#include "tls/revocations.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tls/handshake_failure.h"
#include "tls/serial.h"

namespace tombolo::tls {
namespace {

absl::Status Revoked(absl::string_view what) {
  return HandshakeError(HandshakeFailure::kRevoked, absl::StrCat(what, " is revoked"));
}

// The first segment below /cluster/; empty: of no cluster.
absl::string_view ClusterOf(const SpiffeId& id) {
  absl::string_view path = id.path();
  if (!absl::ConsumePrefix(&path, "/cluster/")) return "";
  return path.substr(0, path.find('/'));
}

}  // namespace

absl::Status Revocations::Check(const SpiffeId& id, absl::string_view serial) const {
  if (ids.contains(id.text())) return Revoked(absl::StrCat("'", id.text(), "'"));
  if (serials.contains(std::string(serial))) {
    return Revoked(absl::StrCat("the certificate ", serial, " of '", id.text(), "'"));
  }
  if (!series.empty() && series.contains(std::string(serial.substr(0, Serial::kSeriesDigits)))) {
    return Revoked(absl::StrCat("the node of the certificate ", serial, " of '", id.text(), "'"));
  }
  if (!clusters.empty() && clusters.contains(std::string(ClusterOf(id)))) {
    return Revoked(absl::StrCat("the cluster of '", id.text(), "'"));
  }
  return absl::OkStatus();
}

}  // namespace tombolo::tls
