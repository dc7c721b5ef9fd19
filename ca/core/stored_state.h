// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/grant.h"
#include "core/revoked.h"
#include "core/rotation.h"
#include "core/trust_state.h"
#include "ledger/operations.h"
#include "ledger/reader.h"
#include "store/store.h"

namespace tombolo::ca {

// What the store says, all of one moment. A plain value.
struct StoredState {
  TrustState trust;
  std::int64_t trust_revision = 0;  // of the document
  RegisteredClusters clusters;
  Revoked revoked;
  Basis basis;  // the last changes of revocations and documents

  // The trust bundle's number. It grows with every document, so with clusters' too: agents then
  // ask for a bundle that says the same.
  std::int64_t sequence() const;
};

// Reads it. Used by one thread at a time.
class StoredStateReader {
 public:
  // FailedPrecondition when there is no trust domain yet; DataLoss; Unavailable when it keeps
  // changing; or what the store says.
  absl::StatusOr<StoredState> Read(const Reader& reader, WallTime now);

 private:
  RevokedReader revoked_;
};

// The trust document alone, with its revision. NotFound when there is none.
struct StoredTrust {
  TrustState trust;
  std::int64_t revision = 0;
};
absl::StatusOr<StoredTrust> ReadTrust(const Reader& reader);

// What is known of agents and identities: reads every certificate of the last day.
absl::StatusOr<RotationEvidence> ReadEvidence(Store& store, const StoredState& state, WallTime now);

}  // namespace tombolo::ca
