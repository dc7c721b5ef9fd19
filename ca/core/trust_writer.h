// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/publication.h"
#include "core/revoked.h"
#include "core/trust_state.h"
#include "ledger/ledger.h"
#include "ledger/reader.h"
#include "ledger/records.h"
#include "store/store.h"

namespace tombolo::ca {

// Changes what the trust bundle says: roots, authorities, federated bundles, and who is revoked.
// Every change is judged by what the store says, and written on the condition that nothing of that
// has changed since; else it is judged again. So of two at the same moment, by whomever, the second
// knows of the first, and what agents would refuse for its size is never written.
//
// Blocks; used by one thread at a time. Borrows `store` and `ledger`, which is of the same store.
// ResourceExhausted: the bundle would be too large, nothing was changed. Unavailable: others change
// it all the time.
class TrustWriter {
 public:
  TrustWriter(Store& store, Ledger& ledger, std::string actor, PublicationLimits limits = {})
      : reader_(store), ledger_(ledger), actor_(std::move(actor)), limits_(limits) {}

  // Replaces the trust document of `revision` (0: there is none yet). FailedPrecondition when
  // somebody else has.
  absl::Status Put(const TrustState& state, std::int64_t revision);

  absl::Status Revoke(const Revocation& revocation);
  // Takes back all of this kind and subject. NotFound when there is none. Other errors say so when
  // some were taken back.
  absl::Status Unrevoke(const Revocation& revocation);

 private:
  // Judges a change, and posts it.
  using Attempt = std::function<absl::Status(const Basis& basis)>;
  absl::Status UntilNothingHasChanged(const Attempt& attempt);
  absl::Status UnrevokeSome(const Revocation& revocation, const Basis& basis);
  absl::Status CheckRoom(const tls::Revocations& revoked) const;

  const Reader reader_;
  Ledger& ledger_;
  const std::string actor_;
  const PublicationLimits limits_;
  RevokedReader revoked_;
};

}  // namespace tombolo::ca
