// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"

namespace tombolo::tls {

// Whom nobody may trust any longer, whatever its certificate says. A plain value.
struct Revocations {
  std::set<std::string> ids{};       // SPIFFE IDs
  std::set<std::string> serials{};   // of leaves: lower-case hex without leading zero octets
  std::set<std::string> series{};    // how those of leaves begin: Serial::SeriesText()
  std::set<std::string> clusters{};  // everything below /cluster/<name>/

  // Unauthenticated, with HandshakeFailure::kRevoked, says what is revoked.
  absl::Status Check(const SpiffeId& id, absl::string_view serial) const;
  bool empty() const {
    return ids.empty() && serials.empty() && series.empty() && clusters.empty();
  }

  friend bool operator==(const Revocations&, const Revocations&) = default;
};

}  // namespace tombolo::tls
